'use strict';

// Around the tests: the real core, the gateway that the Python side started, the host's half of it, and a place on
// this machine that stands for Zapier's hook URLs.

const http = require('node:http');
const zapier = require('zapier-platform-core');

const App = require('../index');

const { GATEWAY_URL, ZAPIER_KEY, HOST_KEY, ACCOUNT, CAMPAIGN } = process.env;

const appTester = zapier.createAppTester(App);
const authData = { api_key: ZAPIER_KEY };

// Runs a function of the app as Zapier does; `meta` as the vendor fills it, which the tester leaves out.
const run = (fn, { meta, ...bundle } = {}) =>
  appTester(fn, {
    authData,
    inputData: {},
    meta: { isLoadingSample: false, isFillingDynamicDropdown: false, isTestingAuth: false, page: 0, limit: -1, ...meta },
    ...bundle,
  });

// The host's API, with its own key: what happens beside Zapier.
const host = async (method, path, body) => {
  const response = await fetch(`${GATEWAY_URL}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${HOST_KEY}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

const signup = async (email, more = {}) => {
  const body = { role: 'referred', person: { email, first_name: 'Fiona', last_name: 'Friend' }, ...more };
  const answer = await host('POST', `/accounts/${ACCOUNT}/campaigns/${CAMPAIGN}/signups`, body);
  return answer.results[0].person;
};

const until = async (what, seconds = 60) => {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await what();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

// A place that takes POSTs; `answers` are the statuses of the next ones, then 200.
const hookUrl = async () => {
  const posts = [];
  const answers = [];
  const server = http.createServer((request, response) => {
    let content = '';
    request.on('data', (chunk) => (content += chunk));
    request.on('end', () => {
      posts.push({ headers: request.headers, content });
      response.writeHead(answers.shift() || 200, { 'content-type': 'application/json' });
      response.end('{"status":"success"}');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/hooks/standard/1/abc/`;
  return { url, posts, answers, close: () => server.close() };
};

// Keys of a body, nested; an empty list has no keys to compare.
const keysOf = (value) => {
  if (Array.isArray(value)) return value.length > 0 ? [keysOf(value[0])] : [];
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).sort().map(([key, inner]) => [key, keysOf(inner)]));
  }
  return null;
};

// The same, with the lists left out: a person without form answers has the same keys as one with some.
const shapeOf = (value) => JSON.stringify(keysOf(value), (_, inner) => (Array.isArray(inner) ? [] : inner));

// What an error says: core adds to messages of plain errors, and writes AppError, ResponseError and ThrottledError as JSON.
const failing = async (promise) => {
  try {
    await promise;
  } catch (error) {
    const [line] = error.message.split('\n');
    let said = { message: line };
    try {
      said = JSON.parse(error.message);
    } catch {
      /* plain text */
    }
    return { name: error.name, ...said, whole: error.message };
  }
  throw new Error('it should have failed');
};

const unique = (name) => `${name}-${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}@example.com`;

module.exports = {
  ACCOUNT, App, CAMPAIGN, authData, failing, hookUrl, host, keysOf, run, shapeOf, signup, unique, until,
};
