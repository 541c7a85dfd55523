/** Options as objects: a name that is misspelled is an error and not a default. */
"use strict";

/**
 * A `TypeError` for what is no object of these names.
 *
 * @param {string} what
 * @param {unknown} options
 * @param {string[]} known
 */
function onlyKnown(what, options, known) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${what} takes an object of ${known.join(", ")}`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`${what} knows no \`${unknown}\`; it knows ${known.join(", ")}`);
  }
}

module.exports = { onlyKnown };
