'use strict';

const action = require('../lib/action');
const { campaign, currency, ifNoMatch, matchBy, occurredAt, reference, saleValue, value } = require('../lib/fields');
const parts = require('../samples/parts');

module.exports = action({
  key: 'record_sale',
  noun: 'Sale',
  label: 'Record Sale',
  description: 'Records a sale of a referred person once; a negative value is a refund.',
  inputFields: [
    matchBy,
    value,
    saleValue({ required: true }),
    currency({ required: true }),
    reference({ required: true }),
    occurredAt,
    campaign({ required: false, helpText: 'Needed only when the person is in several campaigns.' }),
    ifNoMatch,
  ],
  sample: {
    id: parts.sale.id,
    matched: true,
    duplicate: false,
    sale: parts.sale,
    lead: parts.qualifiedLead,
    referrer: parts.referrer,
    campaign: parts.campaign,
  },
});
