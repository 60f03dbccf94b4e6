'use strict';

// A REST hook trigger: four functions that are the same for each of them.

const { key: branded } = require('./brand');
const { campaign } = require('./fields');
const { filled, url } = require('./http');
const { outputs } = require('./outputs');

module.exports = ({ key, noun, label, description, sample, inputFields = [], narrow = () => ({}) }) => {
  const filter = (bundle) => filled({ campaign_id: bundle.inputData.campaign, ...narrow(bundle.inputData) });

  const performSubscribe = async (z, bundle) => {
    const response = await z.request({
      method: 'POST',
      url: url('/hooks'),
      body: { event: key, target_url: bundle.targetUrl, filter: filter(bundle) },
    });
    return response.data;
  };

  // Turning a Zap off must work whatever became of the subscription, the key, or what Zapier kept of it.
  const performUnsubscribe = async (z, bundle) => {
    const { id } = bundle.subscribeData || {};
    const response = await z.request({
      method: 'DELETE',
      url: url(id ? `/hooks/${encodeURIComponent(id)}` : '/hooks'),
      params: id ? {} : { target_url: bundle.targetUrl },
      skipThrowForStatus: true,
    });
    if (response.status >= 400 && ![401, 404, 410].includes(response.status)) {
      response.throwForStatus();
    }
    return {};
  };

  // Zapier's command line calls this without a request; a contact sync tells of several people at once.
  const perform = (z, bundle) => {
    const body = bundle.cleanedRequest;
    if (!body) {
      return [];
    }
    return Array.isArray(body.items) ? body.items : [body];
  };

  const performList = async (z, bundle) => {
    const response = await z.request({ url: url(`/samples/${key}`), params: { ...filter(bundle), limit: 3 } });
    return response.data;
  };

  return {
    key: branded(key),
    noun,
    display: { label, description },
    operation: {
      type: 'hook',
      inputFields: [campaign({ required: false }), ...inputFields],
      performSubscribe,
      performUnsubscribe,
      perform,
      performList,
      sample,
      outputFields: outputs(sample),
    },
  };
};
