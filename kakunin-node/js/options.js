/** Options as objects: a name that is misspelled is an error and not a default. */
"use strict";

/**
 * The options themselves, and nothing that some code put on `Object.prototype`; a `TypeError` for what is no object of these names.
 *
 * @param {string} what
 * @param {unknown} options
 * @param {string[]} known
 * @returns {any}
 */
function onlyKnown(what, options, known) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${what} takes an object of ${known.join(", ")}`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`${what} knows no \`${unknown}\`; it knows ${known.join(", ")}`);
  }
  return own(options);
}

/**
 * What an object has of its own, in one that inherits nothing.
 *
 * @param {object} object
 * @returns {any}
 */
function own(object) {
  return Object.assign(Object.create(null), object);
}

module.exports = { onlyKnown, own };
