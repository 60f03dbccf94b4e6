'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { ACCOUNT, App, CAMPAIGN, hookUrl, host, run, shapeOf, signup, unique, until } = require('./support');

const person = (id) => `/accounts/${ACCOUNT}/people/${id}`;

// What makes each trigger fire, done by the host's own API; returns what the test then looks for in the body.
const CAUSES = {
  new_referrer: async () => {
    const email = unique('bob');
    await signup(email, { role: 'referrer' });
    return (body) => body.referrer.email === email;
  },
  new_lead: async () => {
    const email = unique('fiona');
    await signup(email, { referrer: { email: unique('bob'), first_name: 'Bob' } });
    return (body) => body.lead.email === email;
  },
  lead_qualified: async () => {
    const id = await signup(unique('fiona'), { referrer: { email: unique('bob'), first_name: 'Bob' } });
    await host('POST', `${person(id)}/qualification`, { qualified: true });
    return (body) => body.lead.id === id && body.lead.status === 'qualified';
  },
  lead_unqualified: async () => {
    const id = await signup(unique('fiona'));
    await host('POST', `${person(id)}/qualification`, { qualified: true });
    await host('POST', `${person(id)}/qualification`, { qualified: false, reason: 'returned' });
    return (body) => body.lead.id === id && body.reason === 'returned';
  },
  sale_recorded: async () => {
    const id = await signup(unique('fiona'));
    await host('POST', `${person(id)}/sales`, { amount: '12.50', currency: 'EUR', external_reference: 'o-1' });
    return (body) => body.lead.id === id && body.sale.value === '12.50';
  },
  reward_due: async () => {
    const id = await signup(unique('fiona'), { referrer: { email: unique('bob'), first_name: 'Bob' } });
    await host('POST', `${person(id)}/qualification`, { qualified: true });
    return (body) => body.lead.id === id && body.reward.status === 'due';
  },
  reward_issued: async () => {
    const id = await signup(unique('fiona'), { referrer: { email: unique('bob'), first_name: 'Bob' } });
    await host('POST', `${person(id)}/qualification`, { qualified: true });
    const rewards = await host('GET', `/accounts/${ACCOUNT}/rewards?limit=200`);
    const { id: reward } = rewards.data.find((one) => one.referred === id);
    await host('POST', `/rewards/${reward}/issued`, {});
    return (body) => body.reward.id === reward && body.reward.status === 'issued';
  },
  referrer_stats_updated: async () => {
    const email = unique('bob');
    await signup(unique('fiona'), { referrer: { email, first_name: 'Bob' } });
    return (body) => body.referrer.email === email && body.referrer.referral_count === 1;
  },
};

for (const [key, cause] of Object.entries(CAUSES)) {
  test(`${key}: subscribe, a real event, perform, the same keys everywhere, unsubscribe, silence`, async (t) => {
    const { operation } = App.triggers[key];
    const hook = await hookUrl();
    t.after(() => hook.close());
    const inputData = { campaign: CAMPAIGN };
    const subscribeData = await run(operation.performSubscribe, { targetUrl: hook.url, inputData });
    assert.match(subscribeData.id, /^end_/);
    const again = await run(operation.performSubscribe, { targetUrl: hook.url, inputData });
    assert.deepEqual(again, subscribeData);

    const fits = await cause();
    const post = await until(() => hook.posts.find(({ content }) => fits(JSON.parse(content))));
    const cleanedRequest = JSON.parse(post.content);
    const [body, ...more] = await run(operation.perform, { cleanedRequest, subscribeData, inputData });
    assert.deepEqual(more, []);
    assert.equal(body.id, post.headers['webhook-id']);
    assert.equal(body.campaign.id, CAMPAIGN);
    assert.match(post.headers['webhook-signature'], /^v1,/);
    assert.equal(shapeOf(body), shapeOf(operation.sample), 'keys of the sample');
    const listed = await run(operation.performList, { inputData, meta: { isLoadingSample: true } });
    assert.ok(listed.length >= 1 && listed.length <= 3);
    for (const one of listed) {
      assert.equal(shapeOf(one), shapeOf(body), 'keys of the list');
    }
    const times = listed.map((one) => one.occurred_at);
    assert.deepEqual(times, [...times].sort().reverse(), 'newest first');

    assert.deepEqual(await run(operation.performUnsubscribe, { subscribeData, targetUrl: hook.url, inputData }), {});
    assert.deepEqual(await run(operation.performUnsubscribe, { subscribeData, targetUrl: hook.url, inputData }), {});
    const before = hook.posts.length;
    const witness = await hookUrl();
    t.after(() => witness.close());
    const other = await run(operation.performSubscribe, { targetUrl: witness.url, inputData });
    const fitsNow = await cause();
    await until(() => witness.posts.find(({ content }) => fitsNow(JSON.parse(content))));
    assert.equal(hook.posts.length, before, 'silence after unsubscribing');
    assert.deepEqual(await run(operation.performUnsubscribe, { subscribeData: {}, targetUrl: witness.url }), {});
    assert.ok(other.id);
  });
}

test('sync_problem: the sample has the keys of what was sent', async (t) => {
  const { operation } = App.triggers.sync_problem;
  const hook = await hookUrl();
  t.after(() => hook.close());
  const subscribeData = await run(operation.performSubscribe, { targetUrl: hook.url });
  await fetch(`${process.env.GATEWAY_URL}/testing/problem`, { method: 'POST' });
  const post = await until(() => hook.posts[0]);
  const [body] = await run(operation.perform, { cleanedRequest: JSON.parse(post.content), subscribeData });
  assert.equal(body.problem.code, 'needs_reauth');
  assert.equal(shapeOf(body), shapeOf(operation.sample));
  const [listed] = await run(operation.performList);
  assert.equal(shapeOf(listed), shapeOf(body));
});

test('several Zaps of one account each get every event', async (t) => {
  const { operation } = App.triggers.new_lead;
  const hooks = [await hookUrl(), await hookUrl(), await hookUrl()];
  t.after(() => hooks.forEach((hook) => hook.close()));
  const made = [];
  for (const hook of hooks) made.push(await run(operation.performSubscribe, { targetUrl: hook.url }));
  assert.equal(new Set(made.map((one) => one.id)).size, 3);
  const email = unique('fiona');
  await signup(email);
  for (const hook of hooks) await until(() => hook.posts.find(({ content }) => JSON.parse(content).lead.email === email));
  for (const [index, hook] of hooks.entries()) {
    await run(operation.performUnsubscribe, { subscribeData: made[index], targetUrl: hook.url });
  }
});

test('a hook URL that says 410 is dropped: the next event is not sent there', async (t) => {
  const { operation } = App.triggers.new_lead;
  const gone = await hookUrl();
  const stays = await hookUrl();
  t.after(() => [gone, stays].forEach((hook) => hook.close()));
  const first = await run(operation.performSubscribe, { targetUrl: gone.url });
  await run(operation.performSubscribe, { targetUrl: stays.url });
  gone.answers.push(410, 410, 410, 410, 410);
  await signup(unique('fiona'));
  await until(() => gone.posts[0]);
  await until(async () => {
    const answer = await run(operation.performSubscribe, { targetUrl: gone.url });
    return answer.id !== first.id; // the one that was there has been dropped
  });
  await run(operation.performUnsubscribe, { subscribeData: {}, targetUrl: gone.url });
  const seen = gone.posts.length;
  const email = unique('greta');
  await signup(email);
  await until(() => stays.posts.find(({ content }) => JSON.parse(content).lead.email === email));
  assert.equal(gone.posts.length, seen);
  await run(operation.performUnsubscribe, { subscribeData: {}, targetUrl: stays.url });
});

test('people of a contact sync run the Zap once each', async () => {
  const { operation } = App.triggers.new_referrer;
  const items = [operation.sample, { ...operation.sample, id: 'evt_2' }];
  assert.deepEqual(await run(operation.perform, { cleanedRequest: { items } }), items);
});

test('a hook without a request runs no Zap', async () => {
  assert.deepEqual(await run(App.triggers.new_lead.operation.perform), []);
});

test('turning a Zap off works with a key that is revoked', async () => {
  const authData = { api_key: 'gwk_revoked' };
  const { performUnsubscribe } = App.triggers.new_lead.operation;
  assert.deepEqual(await run(performUnsubscribe, { authData, subscribeData: { id: 'end_1' } }), {});
});

test('dropdowns offer campaigns, form fields and rewards, page by page', async () => {
  const { campaign_list: campaigns, field_list: fields, reward_list: rewards } = App.triggers;
  const first = await run(campaigns.operation.perform);
  assert.ok(first.some((one) => one.id === CAMPAIGN && one.name === 'Refer a Neighbour'));
  assert.deepEqual(await run(campaigns.operation.perform, { meta: { page: 7, isFillingDynamicDropdown: true } }), []);
  const inputData = { campaign: CAMPAIGN };
  assert.deepEqual(await run(fields.operation.perform, { inputData }), [{ id: 'message', name: 'Message' }]);
  assert.deepEqual(await run(fields.operation.perform), []);
  assert.ok(Array.isArray(await run(rewards.operation.perform)));
});
