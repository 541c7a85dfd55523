/**
 * Selectors: which values of a call the guard looks at.
 *
 * A selector becomes one function of the arguments when its function is guarded. What is wrong with it is a `TypeError` then;
 * what cannot be read later is `UNREADABLE`, which the guard denies and records.
 */
"use strict";

const { types } = require("node:util");

const { own } = require("./options");
const { UNREADABLE, DECIMAL, WRITTEN, MINOR, absent, itemsOf, values } = require("./values");

/** A `currency` of this form is the currency itself; anything else is a property path. */
const CURRENCY = /^[A-Z][A-Z0-9]{2,11}$/;

/** A selector that is always this value. */
class Constant {
  /** @param {unknown} value */
  constructor(value) {
    this.value = value;
    Object.freeze(this);
  }
}

/** An amount that a model wrote as a JSON number. */
class Written {
  /** @param {unknown} selector */
  constructor(selector) {
    this.selector = selector;
    Object.freeze(this);
  }
}

/**
 * @param {unknown} value
 * @returns {any}
 */
function const_(value) {
  return new Constant(Array.isArray(value) ? Object.freeze([...value]) : value);
}

/**
 * @param {unknown} selector
 * @returns {any}
 */
function asWritten(selector) {
  if (typeof selector !== "string" && typeof selector !== "function") {
    throw new TypeError("asWritten takes a property path or a function");
  }
  return new Written(selector);
}

/** @typedef {(args: readonly unknown[]) => unknown} Read */

/**
 * @typedef {object} Compiled
 * @property {number} kind how the amount is given
 * @property {string | undefined} literal the currency, if it is fixed
 * @property {Read} amount
 * @property {Read | undefined} currency nothing to read where none is asked for
 * @property {Read | undefined} counterparty
 * @property {Read | undefined} resource
 * @property {(args: readonly unknown[]) => import("./values").Values} read all of them, as they cross
 */

/**
 * @param {import("./index").Selectors<any>} rules
 * @param {string} name the function's, for errors
 * @returns {Compiled}
 */
function compile(rules, name) {
  const { amount, amountMinor, counterparty, resource, currency: unit } = own(rules);
  let currency = /** @type {unknown} */ (unit);
  if (!absent(amount) && !absent(amountMinor)) {
    throw new TypeError(`${name}: amount and amountMinor are two ways to say the same; give one`);
  }
  /** @type {string | undefined} */
  let literal;
  if (currency instanceof Constant) {
    if (typeof currency.value !== "string") throw new TypeError(`${name}: a constant currency is a string`);
    literal = currency.value;
  } else if (typeof currency === "string" && CURRENCY.test(currency)) {
    literal = currency;
  }
  if (literal !== undefined) currency = undefined;
  const minor = !absent(amountMinor);
  const kind = minor ? MINOR : /** @type {unknown} */ (amount) instanceof Written ? WRITTEN : DECIMAL;
  const compiled = {
    kind,
    literal,
    amount: minor ? reader(name, "amountMinor", amountMinor) : reader(name, "amount", amount),
    currency: absent(currency) ? undefined : reader(name, "currency", currency),
    counterparty: absent(counterparty) ? undefined : reader(name, "counterparty", counterparty),
    resource: absent(resource) ? undefined : reader(name, "resource", resource),
  };
  return {
    ...compiled,
    read: (args) =>
      values(
        kind,
        compiled.amount(args),
        compiled.currency?.(args),
        compiled.counterparty?.(args),
        compiled.resource?.(args),
      ),
  };
}

/**
 * @param {string} name
 * @param {string} role
 * @param {unknown} selector
 * @returns {Read}
 */
function reader(name, role, selector) {
  if (absent(selector)) return nothing;
  if (selector instanceof Constant) {
    const { value } = selector;
    if (role === "amount" && typeof value !== "string") {
      throw new TypeError(`${name}: a constant amount is a decimal string`);
    }
    return () => value;
  }
  if (selector instanceof Written) {
    if (role !== "amount") throw new TypeError(`${name}: asWritten reads amounts, not \`${role}\``);
    return reader(name, role, selector.selector);
  }
  if (typeof selector === "string") return path(name, role, selector);
  if (Array.isArray(selector)) {
    if (role !== "counterparty" && role !== "resource") {
      throw new TypeError(`${name}: \`${role}\` is one value, so its selector is no list`);
    }
    if (selector.length === 0) {
      throw new TypeError(`${name}: \`${role}\` is an empty list of selectors; leave it out`);
    }
    const readers = selector.map((part) => reader(name, role, part));
    return (args) => concatenated(readers, args);
  }
  if (typeof selector === "function") {
    if (types.isAsyncFunction(selector) || types.isGeneratorFunction(selector)) {
      throw new TypeError(`${name}: the selector of \`${role}\` is an async or a generator function`);
    }
    return (args) => {
      try {
        return selector(...args);
      } catch (error) {
        return failed(`the selector of \`${role}\` of ${name}`, error);
      }
    };
  }
  throw new TypeError(
    `${name}: \`${role}\` takes a property path of the first argument, a function of the arguments or const_(..)`,
  );
}

/**
 * A path into the first argument.
 *
 * @param {string} name
 * @param {string} role
 * @param {string} text
 * @returns {Read}
 */
function path(name, role, text) {
  const segments = text.split(".");
  if (segments.some((segment) => segment === "")) {
    throw new TypeError(
      `${name}: \`${role}: ${JSON.stringify(text)}\` is no property path;` +
        ` a value that is no property is written const_(${JSON.stringify(text)})`,
    );
  }
  const what = `\`${role}: ${JSON.stringify(text)}\` of ${name}`;
  const [only = ""] = segments;
  if (segments.length > 1) return (args) => walk(args[0], segments, what);
  return (args) => {
    const first = args[0];
    if (first === undefined || first === null) return undefined;
    if (typeof first !== "object") return UNREADABLE;
    try {
      return /** @type {Record<string, unknown>} */ (first)[only];
    } catch (error) {
      return failed(what, error);
    }
  };
}

/**
 * @param {any} value
 * @param {readonly string[]} segments
 * @param {string} what
 */
function walk(value, segments, what) {
  try {
    for (const segment of segments) {
      if (value === undefined || value === null) return undefined;
      if (typeof value !== "object" && typeof value !== "function") return UNREADABLE;
      value = value[segment];
    }
    return value;
  } catch (error) {
    return failed(what, error);
  }
}

/**
 * The names of several selectors as one list; `null` and `undefined` name none.
 *
 * @param {readonly Read[]} readers
 * @param {readonly unknown[]} args
 */
function concatenated(readers, args) {
  /** @type {unknown[]} */
  const names = [];
  let given = false;
  for (const read of readers) {
    const value = read(args);
    if (absent(value)) continue;
    given = true;
    const items = itemsOf(value);
    if (items === undefined) names.push(value);
    else names.push(...items);
  }
  return given ? names : undefined;
}

/**
 * @param {string} what
 * @param {unknown} error
 */
function failed(what, error) {
  try {
    process.emitWarning(`${what} failed, and the call is denied: ${error}`, "KakuninWarning");
  } catch {
    // An error that cannot be written is a value that cannot be read all the same.
  }
  return UNREADABLE;
}

const nothing = () => undefined;

/**
 * Whether a selector is the currency itself.
 *
 * @param {unknown} selector
 */
function isCurrency(selector) {
  return typeof selector === "string" && CURRENCY.test(selector);
}

/**
 * @param {unknown} selector
 * @returns {selector is Written}
 */
function isWritten(selector) {
  return selector instanceof Written;
}

module.exports = { compile, const_, asWritten, isCurrency, isWritten };
