'use strict';

const hook = require('../lib/hook');
const { event, qualifiedLead, referrer, sale } = require('../samples/parts');

module.exports = hook({
  key: 'sale_recorded',
  noun: 'Sale',
  label: 'New Sale',
  description: 'Triggers when a sale of a referred person is recorded; a refund has a negative value.',
  sample: event('sale.recorded', { lead: qualifiedLead, referrer, source: 'landing_page', sale }),
});
