'use strict';

// A search: the best match first; nobody found is an empty list.

const { key: branded } = require('./brand');
const { filled, url } = require('./http');
const { outputs } = require('./outputs');

module.exports = ({ key, noun, label, description, inputFields, sample }) => ({
  key: branded(key),
  noun,
  display: { label, description },
  operation: {
    inputFields,
    perform: async (z, bundle) => {
      const response = await z.request({ url: url(`/search/${key}`), params: filled(bundle.inputData) });
      return response.data;
    },
    sample,
    outputFields: outputs(sample),
  },
});
