/**
 * Behaviour risk: whether an agent still does what it used to do, by its own signed receipts. The answer is the core's.
 */
"use strict";

const fs = require("node:fs");

const native = require("./native");
const { KakuninError } = require("./errors");
const { onlyKnown } = require("./options");

/**
 * Judges a history again from its beginning, and verifies it on the way.
 *
 * @param {string} path a file of receipts, a bundle, or an agent's directory, its state or its journal
 * @param {import("./index").RiskReplayOptions} options
 * @returns {import("./index").RiskReplay}
 */
function riskReplay(path, options) {
  const { baseline, roots, policy, agent } = onlyKnown("riskReplay", options, [
    "baseline",
    "roots",
    "policy",
    "agent",
  ]);
  if (typeof path !== "string") throw new TypeError("what is replayed is named by its path");
  if (agent !== undefined && typeof agent !== "string") throw new TypeError("`agent` is an id");
  const pem = (Array.isArray(roots) ? roots : [roots]).map((root) => text("roots", root)).join("\n");
  const terms = policy === undefined ? "" : text("policy", policy);
  return failing(() => JSON.parse(native.riskReplay(path, pem, text("baseline", baseline), terms, agent)));
}

/**
 * @param {string} part
 * @param {unknown} value
 */
function text(part, value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  if (typeof value !== "string") throw new TypeError(`\`${part}\` is the path of a file or its bytes`);
  return failing(() => fs.readFileSync(value, "utf8"));
}

/**
 * @template T
 * @param {() => T} make
 * @returns {T}
 */
function failing(make) {
  try {
    return make();
  } catch (error) {
    throw new KakuninError(error instanceof Error ? error.message : String(error));
  }
}

module.exports = { riskReplay };
