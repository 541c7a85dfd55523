/**
 * Denials as errors. The table of reasons lives in the core; this page gives each group of its codes a class.
 */
"use strict";

const diagnostics = require("node:diagnostics_channel");

const native = require("./native");

/** Every denial is published here, as `{ error }`. */
const channel = diagnostics.channel("kakunin:denied");

/** Under this an error says of what kinds it is. */
const KINDS = Symbol.for("kakunin-node.kinds");

/** Anything that this package throws on purpose. */
class KakuninError extends Error {}

/**
 * Throw it inside a guarded function to say that the action did not happen: what it reserved is released.
 *
 * Every other error leaves the reservation spent, because nobody can know how far the body came. It counts for the
 * innermost guarded function that it leaves; for one around that it is an error like others.
 */
class NotExecuted extends KakuninError {}

/** An agent could not be connected to its authority. */
class ConnectError extends KakuninError {
  /**
   * @param {string} message
   * @param {string} code `connect.*`, or the authority's own
   * @param {string} fix what the operator can do about it
   */
  constructor(message = "", code = "internal", fix = "") {
    super(fix ? `${message}; ${fix} [${code}]` : `${message} [${code}]`);
    this.code = code;
    this.fix = fix;
  }
}

/**
 * The action was not allowed and did not run.
 *
 * `message` is for operators and names limits; `forModel()` is for models and names none.
 */
class ScopeDenied extends KakuninError {
  #modelText;

  /**
   * @param {string} message
   * @param {Partial<import("./native").Denial>} [fields]
   */
  constructor(message = "", fields = {}) {
    super(message);
    this.code = fields.code ?? "internal";
    this.action = fields.action ?? "";
    this.limit = fields.limit ?? null;
    this.actual = fields.actual ?? null;
    this.decisionId = fields.decisionId ?? null;
    this.receipt = fields.receipt ?? null;
    this.fix = fields.fix ?? "";
    this.#modelText = fields.modelText ?? `denied [${this.code}]`;
  }

  /** The text a model may see: what happened and the code, no limit. */
  forModel() {
    return this.#modelText;
  }

  /** For logs: everything an operator may see. */
  toJSON() {
    const { name, message, code, action, limit, actual, decisionId, receipt, fix } = this;
    return { name, message, code, action, limit, actual, decisionId, receipt, fix };
  }
}

/** No agent is set, or it is not the right one (`agent.*`). */
class AgentDenied extends ScopeDenied {}
/** The clock of this machine cannot be trusted (`clock.*`). */
class ClockDenied extends ScopeDenied {}
/** The agent's certificate is expired, suspended, revoked or no good (`certificate.*`). */
class CertificateDenied extends ScopeDenied {}
/** The revocation list is missing, too old or wrong (`revocation.*`). */
class RevocationDenied extends ScopeDenied {}
/** The request cannot be read: a missing or malformed action, amount, currency or name (`request.*`). */
class RequestDenied extends ScopeDenied {}
/** The certificate does not allow this (`scope.*`). */
class ScopeExceeded extends ScopeDenied {}
/** The amount needs an approval (`approval.*`). */
class ApprovalRequired extends ScopeDenied {}
/** A window or a rate is used up, or unknown (`budget.*`). */
class BudgetDenied extends ScopeDenied {}
/** The decision cannot be recorded (`journal.*`). */
class JournalDenied extends ScopeDenied {}
/** The guard failed in a way it does not know (`internal`). */
class InternalDenied extends ScopeDenied {}

const CLASSES = {
  KakuninError,
  ConnectError,
  NotExecuted,
  ScopeDenied,
  AgentDenied,
  ClockDenied,
  CertificateDenied,
  RevocationDenied,
  RequestDenied,
  ScopeExceeded,
  ApprovalRequired,
  BudgetDenied,
  JournalDenied,
  InternalDenied,
};

for (const [name, made] of Object.entries(CLASSES)) {
  // What another copy calls not executed may have been counted there already, for an action within this one.
  if (made === NotExecuted) named(name, made);
  else known(name, made);
}

/**
 * @param {string} name
 * @param {Function} made
 */
function named(name, made) {
  // On the prototype, as for the errors of the language.
  Object.defineProperty(made.prototype, "name", { value: name, configurable: true, writable: true });
}

/**
 * Gives a class its name and makes it one kind, however often this file is evaluated: a bundler, a test runner or a hot reload has
 * copies of it, and `instanceof` by one copy has to know what another one threw.
 *
 * @param {string} name
 * @param {Function} made
 */
function known(name, made) {
  named(name, made);
  const above = made.prototype[KINDS] ?? [];
  Object.defineProperty(made.prototype, KINDS, { value: Object.freeze([name, ...above]) });
  /** @param {any} error */
  const isOne = (error) => {
    if (Function.prototype[Symbol.hasInstance].call(made, error)) return true;
    const kinds = error instanceof Error ? Reflect.get(error, KINDS) : undefined;
    return Array.isArray(kinds) && kinds.includes(name);
  };
  // A class that somebody derives from this one has its own kind, and no copies here.
  Object.defineProperty(made, Symbol.hasInstance, {
    value(/** @type {any} */ error) {
      return this === made ? isOne(error) : Function.prototype[Symbol.hasInstance].call(this, error);
    },
  });
}

/** @type {Record<string, typeof ScopeDenied>} The class for each group of codes. */
const GROUPS = {
  agent: AgentDenied,
  clock: ClockDenied,
  certificate: CertificateDenied,
  revocation: RevocationDenied,
  request: RequestDenied,
  scope: ScopeExceeded,
  approval: ApprovalRequired,
  budget: BudgetDenied,
  journal: JournalDenied,
  internal: InternalDenied,
};

/** @type {Record<string, string>} What helps, in the words of this language; the core's table speaks of Python's. */
const FIXES = {
  "agent.missing": "call use(Agent.fromDir(..)) at start, or runAs(agent, fn)",
  "request.amount_invalid":
    "pass a decimal string with no more decimals than the limit, or minor units through amountMinor",
  "request.amount_missing": "name the property that holds the amount",
  "request.counterparty_missing": "name the property that holds the counterparty",
  "request.resource_missing": "name the property that holds the resource",
};

/**
 * The same denial in the words of this language.
 *
 * @param {import("./native").Denial} denial
 * @returns {import("./native").Denial}
 */
function inOwnWords(denial) {
  const fix = FIXES[denial.code];
  return fix === undefined
    ? denial
    : { ...denial, fix, message: denial.message.replace(denial.fix, () => fix) };
}

/**
 * The error for a denial of the native half; without one, nobody could decide.
 *
 * @param {import("./native").Denial | null | undefined} denial
 * @returns {ScopeDenied}
 */
function denied(denial) {
  if (denial === null || denial === undefined) return internal(undefined);
  const said = inOwnWords(denial);
  return published(new (GROUPS[said.group] ?? ScopeDenied)(said.message, said));
}

/**
 * The denial for a fault of the guard itself. What failed is its `cause`.
 *
 * @param {unknown} cause
 * @param {string} [action]
 * @returns {ScopeDenied}
 */
function internal(cause, action = "") {
  const [what = "the guard failed", fix = ""] = native.internalDenial();
  const error = new InternalDenied(`${action || "the action"} denied: ${what}; ${fix} [internal]`, {
    code: "internal",
    action,
    fix,
    modelText: `denied: ${what} [internal]`,
  });
  if (cause !== undefined) error.cause = cause;
  return published(error);
}

/**
 * @template {ScopeDenied} E
 * @param {E} error
 * @returns {E}
 */
function published(error) {
  // A subscriber that fails must not change what is thrown; its own error is reported by the channel.
  if (channel.hasSubscribers) channel.publish({ error });
  return error;
}

module.exports = { ...CLASSES, denied, internal, inOwnWords, known };
