'use strict';

// Output fields come from the sample: one list to keep, and their types agree with it.

const typeOf = (key, value) => {
  if (typeof value === 'boolean') return 'boolean';
  if (Number.isInteger(value)) return 'integer';
  if (/_at$/.test(key)) return 'datetime';
  return 'string';
};

const title = (key) =>
  key
    .replace(/\[\]/g, ' ')
    .split(/__|_| /)
    .filter(Boolean)
    .map((word) => (['id', 'crm', 'url'].includes(word) ? word.toUpperCase() : word[0].toUpperCase() + word.slice(1)))
    .join(' ');

const walk = (value, prefix) =>
  Object.entries(value).flatMap(([name, inner]) => {
    const key = `${prefix}${name}`;
    if (Array.isArray(inner)) {
      return inner.length > 0 ? walk(inner[0], `${key}[]`) : [];
    }
    if (inner && typeof inner === 'object') {
      return walk(inner, `${key}__`);
    }
    return [{ key, label: title(key), type: typeOf(name, inner) }];
  });

module.exports = { outputs: (sample) => walk(sample, '') };
