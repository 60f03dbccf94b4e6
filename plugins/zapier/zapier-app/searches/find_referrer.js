'use strict';

const { campaign, matchBy, value } = require('../lib/fields');
const search = require('../lib/search');
const parts = require('../samples/parts');

module.exports = search({
  key: 'find_referrer',
  noun: 'Referrer',
  label: 'Find Referrer',
  description: 'Finds a referrer by email, code or external id.',
  inputFields: [matchBy, value, campaign({ required: false })],
  sample: { ...parts.referrer, campaign: parts.campaign, created: false },
});
