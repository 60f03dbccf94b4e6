'use strict';

const hook = require('../lib/hook');
const { event, qualifiedLead, referrer, reward } = require('../samples/parts');

module.exports = hook({
  key: 'reward_issued',
  noun: 'Reward',
  label: 'New Issued Reward',
  description: 'Triggers when a reward is noted as issued.',
  sample: event('reward.issued', { reward: { ...reward, status: 'issued' }, lead: qualifiedLead, referrer }),
});
