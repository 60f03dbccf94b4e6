'use strict';

const action = require('../lib/action');
const { campaign, currency, ifNoMatch, matchBy, occurredAt, reference, saleValue, text, value } = require('../lib/fields');
const parts = require('../samples/parts');

module.exports = action({
  key: 'qualify_lead',
  noun: 'Lead',
  label: 'Qualify Lead',
  description: 'Marks a referral as qualified; one that is qualified already stays as it is.',
  inputFields: [
    matchBy,
    value,
    campaign({ required: false, helpText: 'Needed only when the person is in several campaigns.' }),
    saleValue({ required: false }),
    currency({ required: false }),
    reference({ required: false }),
    occurredAt,
    text('reason', 'Reason', 'A word for the history of the referral.'),
    ifNoMatch,
  ],
  sample: {
    id: parts.lead.id,
    matched: true,
    changed: true,
    already_qualified: false,
    lead: parts.qualifiedLead,
    referrer: parts.referrer,
    campaign: parts.campaign,
    sale: { ...parts.sale, id: null },
  },
});
