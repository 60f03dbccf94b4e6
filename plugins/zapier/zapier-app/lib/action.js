'use strict';

// A create: one call, whose answer is what the step shows.

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
      const { if_no_match: ifNoMatch, ...input } = filled(bundle.inputData);
      const response = await z.request({ method: 'POST', url: url(`/actions/${key}`), body: input });
      if (response.data.matched === false && ifNoMatch === 'stop') {
        throw new z.errors.HaltedError('No referral matches, so the Zap stops here.');
      }
      return response.data;
    },
    sample,
    outputFields: outputs(sample),
  },
});
