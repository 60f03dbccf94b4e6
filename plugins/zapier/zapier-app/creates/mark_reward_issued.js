'use strict';

const action = require('../lib/action');
const { key: branded } = require('../lib/brand');
const parts = require('../samples/parts');

module.exports = action({
  key: 'mark_reward_issued',
  noun: 'Reward',
  label: 'Mark Reward as Issued',
  description: 'Marks a reward as issued; a note for your books, nothing is paid by it.',
  inputFields: [
    {
      key: 'reward',
      label: 'Reward',
      type: 'string',
      required: true,
      dynamic: `${branded('reward_list')}.id.name`,
      search: `${branded('find_reward')}.id`,
      helpText: 'A reward that is due.',
    },
  ],
  sample: {
    ...parts.reward,
    status: 'issued',
    campaign: parts.campaign,
    lead: parts.qualifiedLead,
    referrer: parts.referrer,
  },
});
