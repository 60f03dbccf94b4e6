'use strict';

const action = require('../lib/action');
const { campaign, text } = require('../lib/fields');
const person = require('../lib/person');
const parts = require('../samples/parts');

module.exports = action({
  key: 'add_lead',
  noun: 'Lead',
  label: 'Add Referred Lead',
  description: 'Adds a referred person to a campaign; one who is there already is returned.',
  inputFields: [
    campaign({ required: true }),
    text('email', 'Email', 'The person is known by it, in any case.', true),
    text('referrer', 'Referrer', 'Referral code or email of the person who referred.', true),
    text('first_name', 'First Name', 'How the person is addressed; without it, the beginning of the email.'),
    ...person,
  ],
  sample: { ...parts.lead, campaign: parts.campaign, referrer: parts.referrer, created: true },
});
