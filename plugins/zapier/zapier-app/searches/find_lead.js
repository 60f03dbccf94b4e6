'use strict';

const { campaign, matchBy, value } = require('../lib/fields');
const search = require('../lib/search');
const parts = require('../samples/parts');

module.exports = search({
  key: 'find_lead',
  noun: 'Lead',
  label: 'Find Referred Lead',
  description: 'Finds a referred person by email, code or external id.',
  inputFields: [matchBy, value, campaign({ required: false })],
  sample: { ...parts.lead, campaign: parts.campaign, referrer: parts.referrer, created: false },
});
