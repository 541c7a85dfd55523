/**
 * An identity, a leash and a paper trail for AI agents.
 *
 *     const send = guard("payments:send", { amount: "amount", currency: "EUR", counterparty: "to" }, pay);
 *     use(Agent.fromDir("agents/billing"));
 */
"use strict";

const native = require("./native");
const { Agent } = require("./agent");
const { chain, chainHeaders, chainMeta } = require("./chain");
const { use, runAs, currentAgent } = require("./context");
const { denied, internal, inOwnWords, known, ...errors } = require("./errors");
const { Gateway } = require("./gateway/gateway");
const { guard, guarded, verifyAgentScope } = require("./guard");
const { riskReplay } = require("./risk");
const { asWritten, const_ } = require("./selector");
const { guardTools, ToolDenied } = require("./tools");

module.exports = {
  Agent,
  use,
  runAs,
  currentAgent,
  guard,
  guarded,
  verifyAgentScope,
  guardTools,
  ToolDenied,
  Gateway,
  asWritten,
  const_,
  chain,
  chainHeaders,
  chainMeta,
  riskReplay,
  ...errors,
  DENIAL_CODES: Object.freeze(native.denialCodes()),
  version: native.version(),
};
