'use strict';

const hook = require('../lib/hook');
const { event, referrer } = require('../samples/parts');

module.exports = hook({
  key: 'new_referrer',
  noun: 'Referrer',
  label: 'New Referrer',
  description: 'Triggers when a person joins a campaign as a referrer.',
  inputFields: [
    {
      key: 'include_synced',
      label: 'Include Synced Contacts',
      type: 'boolean',
      required: false,
      default: 'false',
      helpText: 'Also people who became referrers because contacts were synced from your CRM.',
    },
  ],
  narrow: ({ include_synced: synced }) => ({ include_synced: synced === true || synced === 'true' || undefined }),
  sample: event('signup.accepted', { referrer, source: 'landing_page' }),
});
