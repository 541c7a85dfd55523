/**
 * Values of a call as they cross into the native half: kinds as numbers, texts as texts.
 *
 * What has the wrong type is unreadable, which the core denies and records; it never becomes a zero, an empty list or an
 * absent value. Only `undefined` and `null` are absent.
 */
"use strict";

const { types } = require("node:util");

/** A value that is neither an amount nor a name, whatever it is asked as. */
const UNREADABLE = Symbol("unreadable");

/** How the amount of a function is given; fixed when it is guarded. */
const DECIMAL = 1;
const WRITTEN = 2;
const MINOR = 3;

// The kinds of src/request.rs.
const ABSENT = 0;
const TEXT = 1;
const NO_AMOUNT = 7;
const NO_PARTY = 8;
const NO_RESOURCE = 16;

/**
 * The six values of `native.check`, in its order.
 *
 * @typedef {{ shape: number, number: number, amount: string | undefined, currency: string | undefined,
 *   counterparty: string | string[] | undefined, resource: string | string[] | undefined }} Values
 */

/**
 * @param {number} kind
 * @param {unknown} amount
 * @param {unknown} currency
 * @param {unknown} counterparty
 * @param {unknown} resource
 * @returns {Values}
 */
function values(kind, amount, currency, counterparty, resource) {
  const money = amountOf(kind, amount);
  const parties = namesOf(counterparty);
  const resources = namesOf(resource);
  let shape = money.kind;
  if (parties === UNREADABLE) shape |= NO_PARTY;
  if (resources === UNREADABLE) shape |= NO_RESOURCE;
  return {
    shape,
    number: money.number,
    amount: money.text,
    // What is no text is malformed, and so is the empty one.
    currency: absent(currency) ? undefined : isText(currency) ? currency : "",
    counterparty: parties === UNREADABLE ? undefined : parties,
    resource: resources === UNREADABLE ? undefined : resources,
  };
}

/**
 * @param {number} kind
 * @param {unknown} value
 * @returns {{ kind: number, number: number, text: string | undefined }}
 */
function amountOf(kind, value) {
  if (absent(value)) return { kind: ABSENT, number: 0, text: undefined };
  if (kind !== MINOR && isText(value)) return { kind: TEXT, number: 0, text: value };
  if (kind !== DECIMAL && typeof value === "number") {
    const unreadable = kind === MINOR && !Number.isSafeInteger(value);
    return { kind: unreadable ? NO_AMOUNT : kind, number: value, text: undefined };
  }
  if (kind === MINOR && typeof value === "bigint") {
    // One that fits no 64 bits is refused where it is read.
    return { kind: MINOR, number: 0, text: value.toString() };
  }
  if (kind === WRITTEN && typeof value === "bigint" && Number.isSafeInteger(Number(value))) {
    return { kind: WRITTEN, number: Number(value), text: undefined };
  }
  return { kind: NO_AMOUNT, number: 0, text: undefined };
}

/**
 * @param {unknown} value
 * @returns {string | string[] | undefined | typeof UNREADABLE}
 */
function namesOf(value) {
  if (absent(value)) return undefined;
  if (isText(value)) return value;
  const items = itemsOf(value);
  return items?.every(isText) ? items : UNREADABLE;
}

/**
 * The items of an array or a set, copied: what is judged is what was read. `undefined` for anything else.
 *
 * @param {unknown} value
 * @returns {unknown[] | undefined}
 */
function itemsOf(value) {
  /** @type {unknown[]} */
  const items = [];
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) items.push(value[index]);
    return items;
  }
  if (types.isSet(value)) {
    // By the method of `Set` itself, whatever a subclass shows to whoever iterates over it.
    Set.prototype.forEach.call(value, (item) => items.push(item));
    return items;
  }
  return undefined;
}

/**
 * Text that has a form in UTF-8: a lone surrogate is no name and no amount.
 *
 * @param {unknown} value
 * @returns {value is string}
 */
function isText(value) {
  return typeof value === "string" && wellFormed.call(value);
}

/** @param {unknown} value */
function absent(value) {
  return value === undefined || value === null;
}

// Looked up once: code that runs later may change the prototype.
const wellFormed = /** @type {(this: string) => boolean} */ (
  /** @type {any} */ (String.prototype).isWellFormed
);

module.exports = {
  UNREADABLE,
  DECIMAL,
  WRITTEN,
  MINOR,
  TEXT,
  ABSENT,
  NO_AMOUNT,
  values,
  itemsOf,
  isText,
  absent,
};
