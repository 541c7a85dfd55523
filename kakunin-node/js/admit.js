/**
 * The call into the native half: before a body runs.
 *
 * What crosses often crosses as numbers, by two buffers that both sides know: the characters of a short amount, and names by the
 * number that the native half gave them. It puts together the same request from them that it would have had from texts.
 * Whatever does not fit crosses as it is. Both ways end in the one evaluator.
 */
"use strict";

const native = require("./native");
const { actingHandle, currentPlace } = require("./context");
const { denied, internal } = require("./errors");
const { DECIMAL, MINOR, TEXT, ABSENT, NO_AMOUNT, isText, values } = require("./values");

/**
 * @typedef {object} Plan
 * @property {number} handle
 * @property {string} action
 * @property {number} agent the agent that is fixed, or 0
 * @property {import("./selector").Compiled} compiled
 */

/**
 * @param {string} action
 * @param {import("./selector").Compiled} compiled
 * @param {number} agent
 * @param {string | undefined} expected
 * @returns {Plan}
 */
function newPlan(action, compiled, agent, expected) {
  const plan = { handle: native.plan(action, compiled.literal, expected), action, agent, compiled };
  forgotten.register(plan, plan.handle);
  return plan;
}

/**
 * Asks for a call with these arguments: the handle of the running action, 0 if nobody needs to know how it ends; or throws
 * why it is denied.
 *
 * @param {Plan} plan
 * @param {readonly unknown[]} args
 * @returns {number}
 */
function admit(plan, args) {
  const { compiled } = plan;
  let answer;
  try {
    const agent = plan.agent === 0 ? actingHandle() : plan.agent;
    const amount = compiled.amount(args);
    const currency = compiled.currency === undefined ? undefined : compiled.currency(args);
    const counterparty = compiled.counterparty === undefined ? undefined : compiled.counterparty(args);
    const resource = compiled.resource === undefined ? undefined : compiled.resource(args);
    const place = currentPlace();
    answer = ONE_BY_ONE;
    if (
      place === undefined &&
      writeNames(currency, counterparty, resource) &&
      writeAmount(compiled.kind, amount)
    ) {
      scratch[PLAN] = plan.handle;
      scratch[AGENT] = agent;
      answer = native.decide();
    }
    if (answer === ONE_BY_ONE) {
      const asked = values(compiled.kind, amount, currency, counterparty, resource);
      answer = native.check(
        plan.handle,
        agent,
        asked.shape,
        asked.number,
        asked.amount,
        asked.currency,
        asked.counterparty,
        asked.resource,
        place,
      );
      // Only names that were allowed once are kept: strangers fill no table.
      if (answer >= 0) {
        keep(currency);
        keep(counterparty);
        keep(resource);
      }
    }
  } catch (error) {
    throw internal(error, plan.action);
  }
  if (answer === DENIED) throw denied(native.denial());
  // Only a number of its own allows: whatever else came back is no answer.
  if (typeof answer !== "number" || !(answer >= 0)) throw internal(undefined, plan.action);
  return answer;
}

/**
 * @param {unknown} currency
 * @param {unknown} counterparty
 * @param {unknown} resource
 */
function writeNames(currency, counterparty, resource) {
  const unit = numberOf(currency);
  const party = numberOf(counterparty);
  const touched = numberOf(resource);
  if (unit < 0 || party < 0 || touched < 0) return false;
  scratch[CURRENCY] = unit;
  scratch[COUNTERPARTY] = party;
  scratch[RESOURCE] = touched;
  return true;
}

/** @param {unknown} name */
function numberOf(name) {
  if (name === undefined || name === null) return 0;
  if (typeof name !== "string") return -1;
  return kept.get(name) ?? -1;
}

/**
 * @param {number} kind
 * @param {unknown} amount
 */
function writeAmount(kind, amount) {
  if (amount === undefined || amount === null) {
    scratch[KIND] = ABSENT;
    return true;
  }
  if (typeof amount === "string" && kind !== MINOR) {
    const { length } = amount;
    if (length > TEXT_ROOM) return false;
    for (let index = 0; index < length; index += 1) {
      const code = amount.charCodeAt(index);
      if (code > 127) return false;
      letters[index] = code;
    }
    scratch[LENGTH] = length;
    scratch[KIND] = TEXT;
    return true;
  }
  if (typeof amount === "number" && kind !== DECIMAL) {
    scratch[KIND] = kind === MINOR && !Number.isSafeInteger(amount) ? NO_AMOUNT : kind;
    scratch[NUMBER] = amount;
    return true;
  }
  return false;
}

/** @param {unknown} name */
function keep(name) {
  if (!isText(name) || name.length > LONGEST_KEPT || kept.has(name)) return;
  const number = native.keepName(name);
  if (number > 0) kept.set(name, number);
}

/** @type {Map<string, number>} Names that the native half keeps, by the number it gave them. */
const kept = new Map();
const forgotten = new FinalizationRegistry((/** @type {number} */ handle) => native.releasePlan(handle));

// The order of `Numbers` in src/plan.rs.
const PLAN = 0;
const AGENT = 1;
const KIND = 2;
const NUMBER = 3;
const CURRENCY = 4;
const COUNTERPARTY = 5;
const RESOURCE = 6;
const LENGTH = 7;
const NUMBERS = 8;
const TEXT_ROOM = 24;
const LONGEST_KEPT = 256;
const DENIED = -1;
const ONE_BY_ONE = -2;

const scratch = new Float64Array(NUMBERS);
const letters = new Uint8Array(TEXT_ROOM);
native.setScratch(scratch, letters);

module.exports = { admit, newPlan };
