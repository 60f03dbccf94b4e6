'use strict';

const action = require('../lib/action');
const { campaign, customField, ifNoMatch, matchBy, text, value } = require('../lib/fields');
const parts = require('../samples/parts');

module.exports = action({
  key: 'update_person',
  noun: 'Person',
  label: 'Update Referrer or Lead',
  description: 'Updates what is known of a referrer or a referred person; what is left empty stays.',
  inputFields: [
    {
      key: 'role',
      label: 'Role',
      type: 'string',
      required: true,
      default: 'referrer',
      choices: { referrer: 'Referrer', referred: 'Referred Lead' },
      helpText: 'In which role the person is updated.',
    },
    matchBy,
    value,
    campaign({ required: false, helpText: 'Needed when the person is in several campaigns, or for a form field.' }),
    text('first_name', 'First Name', 'The new first name.'),
    text('last_name', 'Last Name', 'The new last name.'),
    text('phone', 'Phone', 'With the country code, such as +1 555 0100.'),
    text('new_external_id', 'New External Id', 'How your CRM or another system names the person.'),
    text('new_code', 'New Referral Code', 'Another code; the old one stops working.'),
    text('referral_link', 'Referral Link', 'Another link, beginning with https.'),
    ...customField,
    ifNoMatch,
  ],
  sample: {
    id: parts.referrer.id,
    matched: true,
    person: {
      id: parts.referrer.id,
      role: 'referrer',
      email: parts.referrer.email,
      first_name: parts.referrer.first_name,
      last_name: parts.referrer.last_name,
      full_name: parts.referrer.full_name,
      external_id: parts.referrer.external_id,
    },
    lead: Object.fromEntries(Object.keys(parts.lead).map((key) => [key, key === 'form_answers' ? [] : null])),
    referrer: parts.referrer,
    campaign: parts.campaign,
  },
});
