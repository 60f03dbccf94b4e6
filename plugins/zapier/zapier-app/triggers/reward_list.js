'use strict';

const dropdown = require('../lib/dropdown');

module.exports = dropdown({
  key: 'reward_list',
  noun: 'reward',
  path: '/lists/rewards',
  sample: { id: 'rew_01jd8q6m3k9z4w2x5v7y8a1b2f', name: 'Bob Builder: 50.00 USD (Refer a Neighbour)' },
});
