'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { ACCOUNT, App, CAMPAIGN, failing, host, run, shapeOf, signup, unique } = require('./support');

const act = (key, inputData) => run(App.creates[key].operation.perform, { inputData });
const sampled = (key, answer) => assert.equal(shapeOf(answer), shapeOf(App.creates[key].operation.sample), key);

test('add_referrer adds once and answers with link and code', async () => {
  const inputData = { campaign: CAMPAIGN, email: unique('Bob').toUpperCase(), first_name: 'Bob', last_name: '', phone: null };
  const made = await act('add_referrer', inputData);
  sampled('add_referrer', made);
  assert.equal(made.email, inputData.email.toLowerCase());
  assert.equal(made.referral_link, `https://refer.example.com/${made.code}`);
  const again = await act('add_referrer', inputData);
  assert.deepEqual([made.created, again.created, again.id], [true, false, made.id]);
});

test('add_lead takes the code or the e-mail of the referrer', async () => {
  const bob = await act('add_referrer', { campaign: CAMPAIGN, email: unique('bob'), first_name: 'Bob' });
  const lead = await act('add_lead', {
    campaign: CAMPAIGN, email: unique('fiona'), referrer: bob.code, custom_field: 'message', custom_value: 'Evenings',
  });
  sampled('add_lead', lead);
  assert.deepEqual([lead.referrer.id, lead.status, lead.form_answers[0].value], [bob.id, 'pending', 'Evenings']);
  const second = await act('add_lead', { campaign: CAMPAIGN, email: unique('greta'), referrer: bob.email });
  assert.equal(second.referrer.id, bob.id);
});

test('qualify_lead qualifies once, takes the sale, and may be repeated', async () => {
  const email = unique('fiona');
  await signup(email, { referrer: { email: unique('bob'), first_name: 'Bob' } });
  const inputData = { match_by: 'email', value: email, sale_value: '1200.00', currency: 'usd', external_reference: 'o-1' };
  const first = await act('qualify_lead', inputData);
  sampled('qualify_lead', first);
  assert.deepEqual([first.matched, first.changed, first.already_qualified], [true, true, false]);
  assert.deepEqual([first.sale.value, first.sale.currency], ['1200.00', 'USD']);
  const again = await act('qualify_lead', inputData);
  assert.deepEqual([again.matched, again.changed, again.already_qualified], [true, false, true]);
});

test('nobody referred goes on, or stops quietly where the Zap says so', async () => {
  for (const [key, more] of Object.entries({
    qualify_lead: {},
    unqualify_lead: { reason: 'x' },
    record_sale: { sale_value: '1', currency: 'EUR', external_reference: 'o-1' },
    update_person: { role: 'referred', first_name: 'X' },
  })) {
    const inputData = { match_by: 'email', value: unique('nobody'), ...more };
    const answer = await act(key, { ...inputData, if_no_match: 'continue' });
    assert.equal(answer.matched, false);
    sampled(key, answer);
    const error = await failing(act(key, { ...inputData, if_no_match: 'stop' }));
    assert.equal(error.name, 'HaltedError');
  }
});

test('unqualify_lead takes it back', async () => {
  const email = unique('fiona');
  await signup(email);
  await act('qualify_lead', { match_by: 'email', value: email });
  const answer = await act('unqualify_lead', { match_by: 'email', value: email, reason: 'Refunded' });
  sampled('unqualify_lead', answer);
  assert.deepEqual([answer.changed, answer.lead.status], [true, 'disqualified']);
});

test('record_sale records once a reference; a refund is below zero', async () => {
  const email = unique('fiona');
  await signup(email);
  const inputData = { match_by: 'email', value: email, sale_value: '100', currency: 'EUR', external_reference: 'o-1' };
  const first = await act('record_sale', inputData);
  sampled('record_sale', first);
  const again = await act('record_sale', inputData);
  assert.deepEqual([first.duplicate, again.duplicate, again.id], [false, true, first.id]);
  const refund = await act('record_sale', {
    ...inputData, sale_value: '-40', external_reference: 'o-2', occurred_at: '2026-01-01T10:00:00+02:00',
  });
  assert.equal(refund.lead.sale_value, '60');
});

test('update_person changes what is given', async () => {
  const email = unique('fiona');
  await signup(email);
  const crm = `crm-${email.slice(0, 20)}`.replace('@', '-');
  const answer = await act('update_person', {
    role: 'referred', match_by: 'email', value: email, campaign: CAMPAIGN, last_name: 'Foe', new_external_id: crm,
    custom_field: 'message', custom_value: 'Mornings',
  });
  sampled('update_person', answer);
  assert.deepEqual([answer.person.full_name, answer.lead.external_id], ['Fiona Foe', crm]);
});

test('mark_reward_issued notes a reward that is due', async () => {
  const id = await signup(unique('fiona'), { referrer: { email: unique('bob'), first_name: 'Bob' } });
  await host('POST', `/accounts/${ACCOUNT}/people/${id}/qualification`, { qualified: true });
  const rewards = await host('GET', `/accounts/${ACCOUNT}/rewards?limit=200`);
  const { id: reward } = rewards.data.find((one) => one.referred === id);
  const answer = await act('mark_reward_issued', { reward });
  sampled('mark_reward_issued', answer);
  assert.deepEqual([answer.id, answer.status, answer.lead.id], [reward, 'issued', id]);
});

test('a reward that is not there stops the Zap and is no error', async () => {
  const error = await failing(act('mark_reward_issued', { reward: 'rew_nothing' }));
  assert.equal(error.name, 'HaltedError');
});
