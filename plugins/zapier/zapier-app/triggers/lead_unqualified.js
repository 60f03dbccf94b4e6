'use strict';

const hook = require('../lib/hook');
const { event, lead, referrer } = require('../samples/parts');

module.exports = hook({
  key: 'lead_unqualified',
  noun: 'Lead',
  label: 'New Unqualified Lead',
  description: 'Triggers when a qualification is taken back, such as after a refund or a lost deal.',
  sample: event('referral.disqualified', {
    lead: { ...lead, status: 'disqualified' },
    referrer,
    source: 'landing_page',
    sale: { id: null, value: null, currency: null, external_reference: null },
    decided_by: 'hand',
    rule: null,
    reason: 'The order was returned.',
  }),
});
