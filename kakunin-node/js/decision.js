/** Dry decisions: what a check would answer, without a call, a receipt or a reservation. */
"use strict";

const native = require("./native");
const { inOwnWords } = require("./errors");
const { DECIMAL, MINOR, values } = require("./values");

/**
 * The answer of a dry check. An object is always true in a condition: look at `allowed`.
 *
 * @param {string} action
 * @param {import("./native").Denial | null | undefined} denial
 * @returns {import("./index").Decision}
 */
function decision(action, denial) {
  if (denial === null || denial === undefined) {
    return { allowed: true, action, code: null, limit: null, actual: null, fix: null, message: null };
  }
  const { code, limit = null, actual = null, fix, message } = inOwnWords(denial);
  return { allowed: false, action: denial.action, code, limit, actual, fix, message };
}

/**
 * @param {string} action
 * @param {number} agent
 * @param {import("./index").Request} request
 */
function dryDecision(action, agent, request) {
  if (typeof action !== "string") throw new TypeError("an action is a string");
  const { amount, amountMinor, currency, counterparty, resource, at } = request;
  if (amount !== undefined && amountMinor !== undefined) {
    throw new TypeError("amount and amountMinor are two ways to say the same; give one");
  }
  if (at !== undefined && !(at instanceof Date && Number.isFinite(at.getTime()))) {
    throw new TypeError("`at` is a Date that names an instant");
  }
  const kind = amountMinor === undefined ? DECIMAL : MINOR;
  const asked = values(kind, amount ?? amountMinor, currency, counterparty, resource);
  const plan = native.plan(action);
  try {
    return decision(action, dry(plan, agent, asked, at?.getTime()));
  } finally {
    native.releasePlan(plan);
  }
}

/**
 * @param {number} plan
 * @param {number} agent
 * @param {import("./values").Values} asked
 * @param {number} [at]
 */
function dry(plan, agent, asked, at) {
  const { shape, number, amount, currency, counterparty, resource } = asked;
  return native.dry(plan, agent, shape, number, amount, currency, counterparty, resource, at);
}

module.exports = { decision, dryDecision, dry };
