'use strict';

const { baseUrl } = require('./brand');
const { readable } = require('./words');

const url = (path) => `${baseUrl}/v1/apps/zapier${path}`;

// What a Zap's owner left empty is not sent: Zapier strips it, its local tester does not.
const filled = (input = {}) =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined && value !== null && value !== ''));

const addKey = (request, z, bundle) => {
  if (bundle.authData && bundle.authData.api_key) {
    request.headers.Authorization = `Bearer ${bundle.authData.api_key}`;
  }
  request.headers.Accept = 'application/json';
  return request;
};

// What the gateway refuses becomes an error that a person can act on; 429 is core's business (ThrottledError).
const explain = (response, z) => {
  const { status } = response;
  if (status < 400 || response.skipThrowForStatus) {
    return response;
  }
  const { message, code } = readable(response);
  if (status === 401) {
    if (response.request.url.endsWith('/me')) {
      throw new z.errors.Error('That API key is not valid.', 'AuthenticationError', 401);
    }
    throw new z.errors.ExpiredAuthError('The API key was revoked or has expired. Reconnect your account.');
  }
  const seconds = Number.parseInt(response.getHeader('retry-after'), 10);
  if (status === 503 && seconds > 0) {
    throw new z.errors.ThrottledError(message, seconds); // nothing was done: the step runs again, and is no error
  }
  if (status === 404 && response.request.method === 'POST') {
    throw new z.errors.HaltedError(message); // what the step is about is gone: the Zap stops here and stays on
  }
  throw new z.errors.Error(message, code, status);
};

module.exports = { url, filled, addKey, explain };
