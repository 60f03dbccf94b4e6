'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { version } = require('./package.json');
const { version: platformVersion } = require('zapier-platform-core');
const authentication = require('./lib/auth');
const { key: branded } = require('./lib/brand');
const { addKey, explain } = require('./lib/http');

// One file each; the folder is the list.
const all = (folder) =>
  Object.fromEntries(
    fs
      .readdirSync(path.join(__dirname, folder))
      .filter((file) => file.endsWith('.js'))
      .sort()
      .map((file) => require(path.join(__dirname, folder, file)))
      .map((one) => [one.key, one]),
  );

module.exports = {
  version,
  platformVersion,
  authentication,
  beforeRequest: [addKey],
  afterResponse: [explain],
  triggers: all('triggers'),
  creates: all('creates'),
  searches: all('searches'),
  searchOrCreates: {
    [branded('find_referrer')]: {
      key: branded('find_referrer'),
      display: {
        label: 'Find or Add Referrer',
        description: 'Finds a referrer, or adds one when there is none.',
      },
      search: branded('find_referrer'),
      create: branded('add_referrer'),
    },
  },
};
