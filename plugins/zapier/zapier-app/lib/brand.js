'use strict';

// The host's brand: brand.json, or the file that BRAND_FILE names. GATEWAY_URL overrides the base URL alone; it is an
// environment variable of the pushed version at Zapier (a staging gateway), and of the tests (a loopback one).

const fs = require('node:fs');
const path = require('node:path');

const file = process.env.BRAND_FILE || path.join(__dirname, '..', 'brand.json');
const { name, keyPrefix, baseUrl, keyHelpUrl } = JSON.parse(fs.readFileSync(file, 'utf8'));

module.exports = {
  name,
  keyHelpUrl,
  baseUrl: (process.env.GATEWAY_URL || baseUrl).replace(/\/+$/, ''),
  // Keys are promises to every Zap: a prefix is chosen before the first push and never changed.
  key: (key) => `${keyPrefix}${key}`,
};
