'use strict';

// A hidden polling trigger that feeds a dropdown.

const { key: branded } = require('./brand');
const { filled, url } = require('./http');

module.exports = ({ key, noun, path, params = () => ({}), sample }) => ({
  key: branded(key),
  noun,
  display: {
    label: `List of ${noun}s`,
    description: `Triggers when the choices of the ${noun} dropdown are loaded.`,
    hidden: true,
  },
  operation: {
    type: 'polling',
    canPaginate: true,
    perform: async (z, bundle) => {
      const page = (bundle.meta && bundle.meta.page) || 0;
      const response = await z.request({ url: url(path), params: filled({ ...params(bundle.inputData || {}), page }) });
      return response.data;
    },
    sample,
  },
});
