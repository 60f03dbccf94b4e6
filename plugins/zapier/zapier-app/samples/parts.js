'use strict';

// Parts of samples. A test holds their keys to what the gateway really sends.

const campaign = { id: 'spring', name: 'Refer a Neighbour' };

const lead = {
  id: 'per_01jd8q6m3k9z4w2x5v7y8a1b2c',
  email: 'jane@example.com',
  first_name: 'Jane',
  last_name: 'Doe',
  full_name: 'Jane Doe',
  phone: '+15550100',
  code: 'JANE9X2K',
  external_id: 'user-9',
  status: 'pending',
  signed_up_at: '2026-03-02T10:15:00+00:00',
  qualified_at: null,
  sale_value: null,
  sale_currency: null,
  crm_url: 'https://acme.example.com/person/12',
  form_answers: [{ key: 'message', label: 'Message', value: 'Please call in the evening.' }],
};

const qualifiedLead = {
  ...lead,
  status: 'qualified',
  qualified_at: '2026-03-20T09:00:00+00:00',
  sale_value: '1200.00',
  sale_currency: 'USD',
};

const referrer = {
  id: 'per_01jd8q6m3k9z4w2x5v7y8a1b2d',
  email: 'bob@example.com',
  first_name: 'Bob',
  last_name: 'Builder',
  full_name: 'Bob Builder',
  phone: null,
  code: 'BOB3F7QP',
  external_id: 'user-3',
  referral_link: 'https://refer.example.com/BOB3F7QP',
  referral_count: 4,
  converted_referral_count: 2,
  crm_url: null,
};

const sale = { id: 'sal_01jd8q6m3k9z4w2x5v7y8a1b2e', value: '1200.00', currency: 'USD', external_reference: 'deal-77' };

const reward = {
  id: 'rew_01jd8q6m3k9z4w2x5v7y8a1b2f',
  rule: 'reward',
  status: 'due',
  amount: '50.00',
  currency: 'USD',
  sale_reference: null,
  reason: null,
};

const about = {
  id: lead.id,
  role: 'referred',
  email: lead.email,
  first_name: lead.first_name,
  last_name: lead.last_name,
  full_name: lead.full_name,
  external_id: lead.external_id,
};

const event = (type, more) => ({
  id: 'evt_01jd8q6m3k9z4w2x5v7y8a1b2g',
  event: type,
  occurred_at: '2026-03-20T09:00:00+00:00',
  test: false,
  campaign,
  ...more,
});

module.exports = { campaign, lead, qualifiedLead, referrer, sale, reward, about, event };
