'use strict';

const action = require('../lib/action');
const { campaign, text } = require('../lib/fields');
const person = require('../lib/person');
const parts = require('../samples/parts');

module.exports = action({
  key: 'add_referrer',
  noun: 'Referrer',
  label: 'Add Referrer',
  description: 'Adds a referrer to a campaign; one who is there already is returned.',
  inputFields: [
    campaign({ required: true }),
    text('email', 'Email', 'The person is known by it, in any case.', true),
    text('first_name', 'First Name', 'How the person is addressed.', true),
    text('referral_link', 'Referral Link', 'A link of your own; without one, one is made where the campaign makes links.'),
    ...person,
  ],
  sample: { ...parts.referrer, campaign: parts.campaign, created: true },
});
