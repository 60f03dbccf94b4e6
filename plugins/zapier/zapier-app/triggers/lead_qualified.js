'use strict';

const hook = require('../lib/hook');
const { event, qualifiedLead, referrer, sale } = require('../samples/parts');

module.exports = hook({
  key: 'lead_qualified',
  noun: 'Lead',
  label: 'New Qualified Lead',
  description: 'Triggers when a referral qualifies, with the sale value where it is known.',
  sample: event('referral.qualified', {
    lead: qualifiedLead,
    referrer,
    source: 'landing_page',
    sale: { ...sale, id: null, external_reference: null },
    decided_by: 'crm',
    rule: 'deal_won',
    reason: null,
  }),
});
