'use strict';

const { key: branded } = require('./brand');

const campaign = ({ required, helpText } = {}) => ({
  key: 'campaign',
  label: 'Campaign',
  type: 'string',
  required: Boolean(required),
  dynamic: `${branded('campaign_list')}.id.name`,
  helpText: helpText || (required ? 'The campaign that the person joins.' : 'Only this campaign; empty means all of them.'),
});

const matchBy = {
  key: 'match_by',
  label: 'Match By',
  type: 'string',
  required: true,
  default: 'email',
  choices: { email: 'Email', code: 'Referral Code', coupon: 'Coupon Code', external_id: 'External Id' },
  helpText: 'How the person is found. Choose Coupon Code where a shop uses the referral code as its coupon.',
};

const value = {
  key: 'value',
  label: 'Value',
  type: 'string',
  required: true,
  helpText: 'The email, code or external id of the person.',
};

const ifNoMatch = {
  key: 'if_no_match',
  label: 'If No Referral Matches',
  type: 'string',
  required: false,
  default: 'continue',
  choices: { continue: 'Continue with Matched = false', stop: 'Stop the Zap quietly' },
  helpText: 'Send every order and let us find out who was referred: nobody matched is not an error.',
};

const saleValue = ({ required }) => ({
  key: 'sale_value',
  label: 'Sale Value',
  type: 'string',
  required,
  helpText: 'A plain number such as 1200.00, without currency and thousands separators.',
});

const currency = ({ required }) => ({
  key: 'currency',
  label: 'Currency',
  type: 'string',
  required,
  helpText: 'Three letters, such as USD or EUR.',
});

const reference = ({ required }) => ({
  key: 'external_reference',
  label: 'External Reference',
  type: 'string',
  required,
  helpText: 'Number of the order or deal. The same reference again changes nothing, so a repeated step does no harm.',
});

const occurredAt = {
  key: 'occurred_at',
  label: 'Time of the Sale',
  type: 'datetime',
  required: false,
  helpText: 'When the sale took place; empty means now.',
};

const customField = [
  {
    key: 'custom_field',
    label: 'Form Field',
    type: 'string',
    required: false,
    dynamic: `${branded('field_list')}.id.name`,
    helpText: 'A field of the signup form of the campaign. Choose the campaign first.',
  },
  {
    key: 'custom_value',
    label: 'Form Answer',
    type: 'string',
    required: false,
    helpText: 'The answer to the form field above.',
  },
];

const text = (key, label, helpText, required = false) => ({ key, label, type: 'string', required, helpText });

module.exports = {
  campaign, matchBy, value, ifNoMatch, saleValue, currency, reference, occurredAt, customField, text,
};
