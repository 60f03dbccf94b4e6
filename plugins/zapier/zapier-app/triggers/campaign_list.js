'use strict';

const dropdown = require('../lib/dropdown');

module.exports = dropdown({
  key: 'campaign_list',
  noun: 'campaign',
  path: '/lists/campaigns',
  sample: { id: 'spring', name: 'Refer a Neighbour' },
});
