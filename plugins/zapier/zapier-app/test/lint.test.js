'use strict';

// What Zapier's own checks would say at the push, as far as it can be known without it. Codes as in its documentation.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const createHandler = require('zapier-platform-core/src/tools/create-lambda-handler');

const App = require('../index');
const frozen = require('../frozen-keys.json');
const { outputs } = require('../lib/outputs');

const KINDS = ['triggers', 'creates', 'searches'];
const everything = () => KINDS.flatMap((kind) => Object.values(App[kind]).map((one) => ({ kind, one })));
const visible = () => everything().filter(({ one }) => !one.display.hidden);
const SMALL = new Set(['a', 'an', 'and', 'as', 'by', 'for', 'in', 'no', 'of', 'on', 'or', 'the', 'to', 'with']);

const command = async (name) => {
  const handler = createHandler(App);
  return (await handler({ command: name })).results;
};

test("core's own validate finds nothing", async () => {
  assert.deepEqual(await command('validate'), []);
});

test('the definition can be serialised, and names this core', async () => {
  const definition = await command('definition');
  assert.equal(definition.platformVersion, require('zapier-platform-core').version);
  assert.equal(require('../package.json').dependencies['zapier-platform-core'], definition.platformVersion, 'pinned');
});

test('keys that Zaps use are still there (C001 to C003)', () => {
  for (const kind of KINDS) {
    for (const [key, { inputs, outputs: promised }] of Object.entries(frozen[kind])) {
      assert.ok(App[kind][key], `${kind}.${key}`);
      const { inputFields = [], sample } = App[kind][key].operation;
      const present = inputFields.map((field) => field.key);
      assert.deepEqual(inputs.filter((one) => !present.includes(one)), [], `inputs of ${key}`);
      const given = outputs(sample).map((field) => field.key);
      assert.deepEqual(promised.filter((one) => !given.includes(one)), [], `outputs of ${key}`);
    }
    assert.deepEqual(Object.keys(App[kind]).sort(), Object.keys(frozen[kind]).sort(), `new ${kind} are frozen too`);
  }
});

for (const { kind, one } of everything()) {
  test(`${kind}.${one.key}: names, texts and references`, () => {
    const { label, description, hidden } = one.display;
    const fields = one.operation.inputFields || [];
    if (!hidden) {
      for (const word of label.split(' ')) {
        assert.ok(SMALL.has(word) || /^[A-Z]/.test(word), `D018: ${label}`);
      }
      const forms = {
        triggers: /^Triggers when .*\.$/,
        creates: /^(Adds|Marks|Records|Updates) .*\.$/,
        searches: /^Finds a.*\.$/,
      };
      assert.match(description, forms[kind], 'D021');
    }
    for (const field of fields) {
      assert.notEqual(field.helpText, field.label, `D011: ${field.key}`);
      assert.ok(field.helpText, `help of ${field.key}`);
      assert.doesNotMatch(field.label, /\bID\b/, `D004: ${field.key}`);
      assert.doesNotMatch(field.helpText.replace(/\]\([^)]*\)/g, ']'), /https?:\/\//, `D008: ${field.key}`);
      assert.doesNotMatch(field.key, /api_?key|password|secret|token/, `D001: ${field.key}`);
      if (field.dynamic) {
        const [trigger, id, name] = field.dynamic.split('.');
        assert.ok(App.triggers[trigger], `D005: ${field.dynamic}`);
        assert.deepEqual([id, name], ['id', 'name']);
        assert.ok(App.triggers[trigger].display.hidden);
        assert.ok(App.triggers[trigger].operation.canPaginate);
      }
      if (field.search) {
        assert.ok(App.searches[field.search.split('.')[0]], `D013: ${field.search}`);
        assert.ok(field.dynamic, `D014: ${field.key}`);
      }
    }
    if (kind === 'searches') assert.ok(fields.length > 0, 'D009');
    if (kind === 'creates') assert.ok(fields.some((field) => typeof field !== 'function'), 'D022');
  });
}

for (const { kind, one } of visible()) {
  test(`${kind}.${one.key}: sample and output fields`, () => {
    const { sample, outputFields } = one.operation;
    assert.ok(sample && !Array.isArray(sample) && Object.keys(sample).length > 0, 'D012');
    const flat = (value, prefix = '') =>
      Object.entries(value).flatMap(([key, inner]) => {
        if (Array.isArray(inner)) return inner.length ? flat(inner[0], `${prefix}${key}[]`) : [];
        return inner && typeof inner === 'object' ? flat(inner, `${prefix}${key}__`) : [[`${prefix}${key}`, inner]];
      });
    const types = Object.fromEntries(outputFields.map((field) => [field.key, field.type]));
    for (const [key, value] of flat(sample)) {
      assert.ok(types[key], `D024: ${key}`);
      if (value === null) continue;
      const fits = { boolean: 'boolean', integer: 'number', datetime: 'string', string: 'string' };
      assert.equal(typeof value, fits[types[key]], `D024: ${key}`);
      if (types[key] === 'datetime') assert.match(value, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/, `D023: ${key}`);
    }
    assert.doesNotMatch(JSON.stringify(sample), /"http:/, 'D007');
  });
}

for (const { one } of visible().filter(({ kind }) => kind === 'triggers')) {
  test(`triggers.${one.key}: a REST hook with all four functions (D006, D016, D017)`, () => {
    assert.equal(one.operation.type, 'hook');
    for (const name of ['performSubscribe', 'performUnsubscribe', 'perform', 'performList']) {
      assert.equal(typeof one.operation[name], 'function', name);
    }
    const [campaign] = one.operation.inputFields;
    assert.deepEqual([campaign.key, campaign.required], ['campaign', false]);
  });
}

test('hidden dropdowns have the key that makes an entry unique (D010)', () => {
  for (const { one } of everything().filter(({ one: each }) => each.display.hidden)) {
    assert.ok(one.operation.sample.id && one.operation.sample.name, one.key);
  }
});

test('the search and the action of search-or-create exist (D013)', () => {
  for (const [key, { search, create }] of Object.entries(App.searchOrCreates)) {
    assert.equal(key, search);
    assert.ok(App.searches[search]);
    assert.ok(App.creates[create]);
  }
});

test('authentication: one secret field with a link, a label that identifies, a test', () => {
  const [field] = App.authentication.fields;
  assert.equal(field.type, 'password');
  assert.match(field.helpText, /\[[^\]]+\]\(https:\/\/[^)]+\)/, 'D002');
  assert.match(App.authentication.connectionLabel, /\{\{/, 'D003');
  assert.doesNotMatch(App.authentication.connectionLabel, /api_key/, 'D003');
  assert.equal(typeof App.authentication.test, 'function');
});

test('no action moves money: a reward is noted, not paid', () => {
  for (const { one } of visible()) {
    assert.doesNotMatch(`${one.display.label} ${one.key}`, /\b(pay|payout|transfer)\b/i);
  }
});

// Another brand, in a process of its own: the definition is made from the brand when it is loaded.
const branded = (brand, env = {}) => {
  const file = path.join(fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'brand-')), 'brand.json');
  fs.writeFileSync(file, JSON.stringify(brand));
  const script = `
    const App = require('./index'); const brand = require('./lib/brand');
    const handler = require('zapier-platform-core/src/tools/create-lambda-handler')(App);
    handler({ command: 'validate' }).then(({ results }) => {
      const dynamic = App.creates[brand.key('add_lead')].operation.inputFields[0].dynamic;
      console.log('RESULT' + JSON.stringify({
        results, base: brand.baseUrl, dynamic, help: App.authentication.fields[0].helpText,
        keys: [App.triggers, App.creates, App.searches, App.searchOrCreates].flatMap(Object.keys),
      }));
    });`;
  const { GATEWAY_URL: _, ...rest } = process.env;
  const out = execFileSync(process.execPath, ['-e', script], {
    cwd: path.join(__dirname, '..'),
    env: { ...rest, BRAND_FILE: file, NODE_ENV: 'test', ...env },
  });
  return JSON.parse(String(out).split('RESULT')[1]);
};

test('another brand changes name, keys and base URL, and is as valid', () => {
  const brand = { name: 'Acme Refer', keyPrefix: 'acme_', baseUrl: 'https://api.acme.example/', keyHelpUrl: 'https://acme.example/keys' };
  const made = branded(brand);
  assert.deepEqual(made.results, []);
  assert.equal(made.base, 'https://api.acme.example');
  assert.equal(made.dynamic, 'acme_campaign_list.id.name');
  assert.match(made.help, /\[Acme Refer\]\(https:\/\/acme\.example\/keys\)/);
  assert.ok(made.keys.every((key) => key.startsWith('acme_')));
  assert.equal(branded(brand, { GATEWAY_URL: 'https://staging.acme.example' }).base, 'https://staging.acme.example');
});

test('the brand as it is shipped uses https (D007)', () => {
  const { baseUrl, keyHelpUrl } = require('../brand.json');
  assert.match(baseUrl, /^https:\/\//);
  assert.match(keyHelpUrl, /^https:\/\//);
});
