'use strict';

// What is asked of a person beside the campaign, the e-mail and the first name.

const { customField, text } = require('./fields');

module.exports = [
  text('last_name', 'Last Name', 'Family name of the person.'),
  text('phone', 'Phone', 'With the country code, such as +1 555 0100.'),
  text('external_id', 'External Id', 'How your own systems name the person.'),
  text('code', 'Referral Code', 'A code of your own; without one, one is made where the campaign makes links.'),
  ...customField,
  {
    key: 'signed_up_at',
    label: 'Time of the Signup',
    type: 'datetime',
    required: false,
    helpText: 'When the person joined; empty means now.',
  },
];
