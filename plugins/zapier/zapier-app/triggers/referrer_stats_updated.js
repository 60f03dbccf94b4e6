'use strict';

const hook = require('../lib/hook');
const { event, referrer } = require('../samples/parts');

module.exports = hook({
  key: 'referrer_stats_updated',
  noun: 'Referrer',
  label: 'Updated Referrer Stats',
  description: 'Triggers when the link or the counts of a referrer change.',
  sample: event('referrer.stats_updated', { referrer, source: 'landing_page' }),
});
