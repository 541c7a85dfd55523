/** Variables that ask for less enforcement. None is obeyed; each is named in a warning. */
"use strict";

const native = require("./native");

/** @type {Set<string>} */
const warned = new Set();

/** Warns once of each variable that asks to loosen the leash. */
function warnOfIgnoredVariables() {
  for (const name of native.looseningVariables()) {
    const value = process.env[name];
    if (value !== undefined && !warned.has(name) && native.asksForLess(name, value)) {
      warned.add(name);
      process.emitWarning(native.ignored(name, value), "KakuninWarning");
    }
  }
}

module.exports = { warnOfIgnoredVariables };
