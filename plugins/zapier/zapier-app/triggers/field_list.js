'use strict';

const dropdown = require('../lib/dropdown');

module.exports = dropdown({
  key: 'field_list',
  noun: 'form field',
  path: '/lists/fields',
  params: ({ campaign, role }) => ({ campaign_id: campaign, role }),
  sample: { id: 'message', name: 'Message' },
});
