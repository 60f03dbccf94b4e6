'use strict';

const { campaign, text } = require('../lib/fields');
const search = require('../lib/search');
const parts = require('../samples/parts');

module.exports = search({
  key: 'find_reward',
  noun: 'Reward',
  label: 'Find Reward',
  description: 'Finds a reward by the email of its referrer and its status.',
  inputFields: [
    text('email', 'Email of the Referrer', 'Rewards of this person, the newest first.', true),
    {
      key: 'status',
      label: 'Status',
      type: 'string',
      required: false,
      choices: { held: 'Held', due: 'Due', issued: 'Issued', cancelled: 'Cancelled' },
      helpText: 'Only rewards in this state; empty means all of them.',
    },
    campaign({ required: false }),
  ],
  sample: { ...parts.reward, campaign: parts.campaign, lead: parts.qualifiedLead, referrer: parts.referrer },
});
