'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { ACCOUNT, App, CAMPAIGN, host, run, shapeOf, signup, unique } = require('./support');

const find = (key, inputData) => run(App.searches[key].operation.perform, { inputData });
const sampled = (key, answer) => assert.equal(shapeOf(answer), shapeOf(App.searches[key].operation.sample), key);

test('find_referrer by e-mail in any case, by code and by external id', async () => {
  const email = unique('bob');
  const external = email.split('@')[0];
  await signup(email, { role: 'referrer', person: { email, first_name: 'Bob', external_id: external } });
  const [found] = await find('find_referrer', { match_by: 'email', value: email.toUpperCase(), campaign: '' });
  sampled('find_referrer', found);
  assert.equal(found.email, email);
  for (const [by, value] of [['code', found.code], ['coupon', found.code], ['external_id', external]]) {
    const [same, ...others] = await find('find_referrer', { match_by: by, value, campaign: CAMPAIGN });
    assert.deepEqual([same.id, others], [found.id, []]);
  }
});

test('find_lead answers with the referrer', async () => {
  const [email, bob] = [unique('fiona'), unique('bob')];
  await signup(email, { referrer: { email: bob, first_name: 'Bob' } });
  const [found] = await find('find_lead', { match_by: 'email', value: email });
  sampled('find_lead', found);
  assert.equal(found.referrer.email, bob);
});

test('find_reward by the e-mail of the referrer and the status', async () => {
  const bob = unique('bob');
  const id = await signup(unique('fiona'), { referrer: { email: bob, first_name: 'Bob' } });
  await host('POST', `/accounts/${ACCOUNT}/people/${id}/qualification`, { qualified: true });
  const [found] = await find('find_reward', { email: bob, status: 'due' });
  sampled('find_reward', found);
  assert.equal(found.referrer.email, bob);
  assert.deepEqual(await find('find_reward', { email: bob, status: 'issued' }), []);
});

test('nobody found is an empty list', async () => {
  assert.deepEqual(await find('find_referrer', { match_by: 'email', value: unique('nobody') }), []);
  assert.deepEqual(await find('find_lead', { match_by: 'external_id', value: 'nothing' }), []);
  assert.deepEqual(await find('find_reward', { email: unique('nobody') }), []);
});

test('find or add: the search and the action answer with the same keys', async () => {
  const { search, create } = App.searchOrCreates.find_referrer;
  const inputData = { campaign: CAMPAIGN, email: unique('bob'), first_name: 'Bob' };
  assert.deepEqual(await find(search, { match_by: 'email', value: inputData.email }), []);
  const added = await run(App.creates[create].operation.perform, { inputData, meta: { withSearch: true } });
  const [found] = await find(search, { match_by: 'email', value: inputData.email });
  assert.equal(found.id, added.id);
  assert.equal(shapeOf(found), shapeOf(added));
});
