'use strict';

// What a Zap's owner reads when something is refused: by the real gateway, and by one that is scripted for what cannot
// be brought about (429, 500, answers that are no JSON).

const assert = require('node:assert/strict');
const http = require('node:http');
const test = require('node:test');

const { App, CAMPAIGN, failing, run, signup, unique } = require('./support');
const { readable, LONGEST } = require('../lib/words');

const refused = async (key, inputData) => failing(run(App.creates[key].operation.perform, { inputData }));

test('bad input is named in words', async () => {
  const email = unique('fiona');
  await signup(email);
  const cases = [
    ['qualify_lead', { match_by: 'email', value: email, sale_value: '1,200.00 USD' }, /“1,200.00 USD” is not a plain number/],
    ['qualify_lead', { match_by: 'email', value: email, sale_value: '5', currency: 'dollar' }, /three letters/],
    ['qualify_lead', { match_by: 'email', value: 'no address' }, /E-mail is not an e-mail address/],
    ['add_lead', { campaign: CAMPAIGN, email, referrer: email }, /own|themselves/],
    ['add_referrer', { campaign: 'gone', email, first_name: 'X' }, /Choose another one from the list/],
    ['add_referrer', { email, first_name: 'X' }, /campaign/],
    ['update_person', { role: 'referred', match_by: 'email', value: email }, /Nothing is to be changed/],
  ];
  for (const [key, inputData, words] of cases) {
    const error = await refused(key, inputData);
    assert.equal(error.name, 'AppError', key);
    assert.equal(error.status, 422, key);
    assert.match(error.message, words);
    assert.ok(error.message.length <= LONGEST);
    assert.doesNotMatch(error.message, /[{}]/);
  }
});

test('a sale of another amount under the same reference says what to do', async () => {
  const email = unique('fiona');
  await signup(email);
  const sale = { match_by: 'email', value: email, currency: 'EUR', external_reference: 'o-1' };
  await run(App.creates.record_sale.operation.perform, { inputData: { ...sale, sale_value: '5' } });
  const error = await refused('record_sale', { ...sale, sale_value: '6' });
  assert.deepEqual([error.name, error.status], ['AppError', 409]);
  assert.match(error.message, /send the difference/);
});

test('a subscription that is refused says why the Zap cannot be turned on', async () => {
  const { performSubscribe } = App.triggers.new_lead.operation;
  for (const [targetUrl, words] of [
    ['https://example.com/hooks', /not one of Zapier's hosts/],
    ['https://10.0.0.1/hooks', /not one of Zapier's hosts/],
  ]) {
    const error = await failing(run(performSubscribe, { targetUrl }));
    assert.deepEqual([error.name, error.status], ['AppError', 422]);
    assert.match(error.message, words);
  }
  const error = await failing(run(performSubscribe, { targetUrl: 'https://127.0.0.1/x', inputData: { campaign: 'foreign' } }));
  assert.match(error.message, /campaign is not there/);
});

// A gateway that answers as told; the app reads its base URL once, so a fresh copy of it is loaded.
const scripted = async (t, status, headers, body) => {
  const server = http.createServer((request, response) => {
    response.writeHead(status, headers);
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const before = process.env.GATEWAY_URL;
  const loaded = Object.keys(require.cache).filter((path) => !path.includes('node_modules'));
  const kept = loaded.map((path) => [path, require.cache[path]]);
  loaded.forEach((path) => delete require.cache[path]);
  process.env.GATEWAY_URL = `http://127.0.0.1:${server.address().port}`;
  const fresh = require('./support');
  process.env.GATEWAY_URL = before;
  Object.keys(require.cache)
    .filter((path) => !path.includes('node_modules'))
    .forEach((path) => delete require.cache[path]);
  kept.forEach(([path, module]) => (require.cache[path] = module));
  t.after(() => server.close());
  return fresh;
};

const problem = (code, detail) => JSON.stringify({ type: 'x', title: 'A title', status: 0, code, detail, problems: [] });
const json = { 'content-type': 'application/problem+json' };

test('429: the step waits as long as the gateway asks', async (t) => {
  const { App: app, run: runs } = await scripted(t, 429, { ...json, 'retry-after': '7' }, problem('rate_limited', 'x'));
  const error = await failing(runs(app.creates.qualify_lead.operation.perform));
  assert.deepEqual([error.name, error.delay], ['ThrottledError', 7]);
});

test('503 with Retry-After: nothing was done, so the step waits too', async (t) => {
  const said = problem('overloaded', 'Send the same request again shortly.');
  const { App: app, run: runs } = await scripted(t, 503, { ...json, 'retry-after': '2' }, said);
  const error = await failing(runs(app.creates.qualify_lead.operation.perform));
  assert.deepEqual([error.name, error.delay], ['ThrottledError', 2]);
  assert.match(error.message, /again shortly/);
});

test('500: the words of the gateway, or words of our own', async (t) => {
  const told = await scripted(t, 500, json, problem('internal', 'The failure is logged; send it again.'));
  const error = await failing(told.run(told.App.searches.find_lead.operation.perform));
  assert.deepEqual([error.name, error.status], ['AppError', 500]);
  assert.match(error.message, /logged/);
  const mute = await scripted(t, 502, { 'content-type': 'text/html' }, '<html>Bad gateway</html>');
  const other = await failing(mute.run(mute.App.creates.add_lead.operation.perform));
  assert.match(other.message, /The referral platform failed \(502\)/);
});

test('turning a Zap off fails only for real faults', async (t) => {
  const broken = await scripted(t, 500, json, problem('internal', 'x'));
  const bundle = { subscribeData: { id: 'end_1' } };
  const error = await failing(broken.run(broken.App.triggers.new_lead.operation.performUnsubscribe, bundle));
  assert.equal(error.name, 'ResponseError');
  for (const status of [401, 404, 410]) {
    const gone = await scripted(t, status, json, problem('not_found', 'x'));
    assert.deepEqual(await gone.run(gone.App.triggers.new_lead.operation.performUnsubscribe, bundle), {});
  }
});

test('messages are cut to what Zapier shows', () => {
  const many = Array.from({ length: 40 }, (_, index) => ({ field: `f${index}`, message: 'This is wrong.' }));
  const { message } = readable({ status: 422, data: { code: 'invalid_input', problems: many } });
  assert.equal(message.length, LONGEST);
  assert.ok(message.endsWith('…'));
  const schema = { field: 'email', message: 'Object missing required field `email`' };
  assert.match(readable({ status: 422, data: { problems: [schema] } }).message, /^email: /);
  assert.equal(readable({ status: 418, data: 'tea' }).message, 'The referral platform answered 418.');
});
