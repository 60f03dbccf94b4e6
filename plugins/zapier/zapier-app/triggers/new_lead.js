'use strict';

const hook = require('../lib/hook');
const { event, lead, referrer } = require('../samples/parts');

module.exports = hook({
  key: 'new_lead',
  noun: 'Lead',
  label: 'New Referred Lead',
  description: 'Triggers when a referred person signs up.',
  sample: event('signup.accepted', { lead, referrer, source: 'landing_page' }),
});
