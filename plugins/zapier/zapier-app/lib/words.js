'use strict';

const LONGEST = 250; // Zapier cuts what is longer

const cut = (text) => (text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`);

// "This field is required." does not say which one: the name of the field leads such words.
const NAMELESS = /^(This field|There is no such|Send|Object|Expected|Invalid) /;
const told = ({ field, message }) => (field && NAMELESS.test(message) ? `${field}: ${message}` : message);

// A problem document (RFC 9457) as one message. Each entry of `problems` names a field and says what to do.
const readable = (response) => {
  const problem = response.data && typeof response.data === 'object' ? response.data : {};
  const code = typeof problem.code === 'string' ? problem.code : `status_${response.status}`;
  const problems = Array.isArray(problem.problems) ? problem.problems.filter((one) => one && one.message) : [];
  if (problems.length > 0) {
    return { code, message: cut(problems.map(told).join(' ')) };
  }
  if (response.status >= 500 && !problem.detail) {
    return { code, message: `The referral platform failed (${response.status}). Try again in a few minutes.` };
  }
  return { code, message: cut(problem.detail || problem.title || `The referral platform answered ${response.status}.`) };
};

module.exports = { readable, LONGEST };
