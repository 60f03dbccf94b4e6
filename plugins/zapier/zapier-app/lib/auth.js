'use strict';

const { name, keyHelpUrl } = require('./brand');
const { url } = require('./http');

const test = async (z) => {
  const response = await z.request({ url: url('/me') });
  return response.data;
};

module.exports = {
  type: 'custom',
  fields: [
    {
      key: 'api_key',
      label: 'API Key',
      type: 'password',
      required: true,
      helpText: `Connect Zapier in [${name}](${keyHelpUrl}) and copy the key; it is shown once.`,
    },
  ],
  test,
  connectionLabel: '{{account_name}} ({{environment}})',
};
