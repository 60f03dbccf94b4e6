'use strict';

const hook = require('../lib/hook');
const { event, qualifiedLead, referrer, reward } = require('../samples/parts');

module.exports = hook({
  key: 'reward_due',
  noun: 'Reward',
  label: 'New Reward Due',
  description: 'Triggers when a reward is due to a referrer.',
  sample: event('reward.due', { reward, lead: qualifiedLead, referrer }),
});
