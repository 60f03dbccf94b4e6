'use strict';

const hook = require('../lib/hook');
const { about, event } = require('../samples/parts');

module.exports = hook({
  key: 'sync_problem',
  noun: 'Problem',
  label: 'New Sync Problem',
  description: 'Triggers when something keeps people or referrals from reaching your CRM.',
  sample: event('signup.refused', {
    problem: { code: 'refused', message: 'The CRM refused the signup: the phone number is not valid.' },
    person: about,
    connection: { id: 'con_01jd8q6m3k9z4w2x5v7y8a1b2h', integration: 'pipedrive', name: 'Acme' },
  }),
});
