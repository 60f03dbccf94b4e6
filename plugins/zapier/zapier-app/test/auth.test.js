'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { App, failing, run } = require('./support');

test('the connection test says whose key it is, for the label of the connection', async () => {
  const me = await run(App.authentication.test, { meta: { isTestingAuth: true } });
  assert.deepEqual(me, { id: 'acme', account_name: 'Acme', environment: 'testing', plan: null });
});

test('a key that is wrong fails the connection test in words', async () => {
  const error = await failing(run(App.authentication.test, { authData: { api_key: 'gwk_wrong' } }));
  assert.deepEqual([error.name, error.message, error.status], ['AppError', 'That API key is not valid.', 401]);
});

test('a key that was revoked asks for a new connection wherever it is used', async () => {
  for (const fn of [
    App.creates.qualify_lead.operation.perform,
    App.searches.find_lead.operation.perform,
    App.triggers.new_lead.operation.performList,
    App.triggers.campaign_list.operation.perform,
  ]) {
    const bundle = { authData: { api_key: 'gwk_revoked' }, inputData: { match_by: 'email', value: 'a@example.com' } };
    const error = await failing(run(fn, bundle));
    assert.equal(error.name, 'ExpiredAuthError');
    assert.match(error.whole, /Reconnect your account/);
  }
});
