'use strict';

const action = require('../lib/action');
const { campaign, ifNoMatch, matchBy, text, value } = require('../lib/fields');
const parts = require('../samples/parts');

module.exports = action({
  key: 'unqualify_lead',
  noun: 'Lead',
  label: 'Unqualify Lead',
  description: 'Marks a referral as not qualified, such as after a refund; rewards that were issued stay.',
  inputFields: [
    matchBy,
    value,
    text('reason', 'Reason', 'Why it is taken back; shown in the history of the referral.', true),
    campaign({ required: false, helpText: 'Needed only when the person is in several campaigns.' }),
    ifNoMatch,
  ],
  sample: {
    id: parts.lead.id,
    matched: true,
    changed: true,
    already_qualified: false,
    lead: { ...parts.lead, status: 'disqualified' },
    referrer: parts.referrer,
    campaign: parts.campaign,
    sale: { ...parts.sale, id: null, external_reference: null },
  },
});
