/**
 * Help for testing code that is guarded, with real certificates and real decisions.
 *
 * There is no double that allows everything: a test gives its agent a certificate that allows what the test does.
 *
 *     const authority = new MemoryAuthority();
 *     const agent = authority.issue({ actions: ["payments:send"] });
 *     assertDenied("scope.action", () => runAs(agent, deleteEverything));
 */
"use strict";

const native = require("./native");
const { handleOf, openedBy } = require("./agent");
const { runAsNobody } = require("./context");
const { KakuninError, ScopeDenied } = require("./errors");
const { onlyKnown, own } = require("./options");

/** @typedef {import("./agent").Agent} Agent */

const DAYS = 7;
const HOURS = 168;

/** A clock that moves only when told. */
class FakeClock {
  #handle;

  /** @param {Date} [now] */
  constructor(now = new Date()) {
    this.#handle = native.clockNew(instant(now));
  }

  /** The wall clock. */
  get now() {
    return new Date(native.clockNow(this.#handle));
  }

  /**
   * Lets time pass.
   *
   * @param {number} seconds
   */
  advance(seconds) {
    native.clockAdvance(this.#handle, millis(seconds));
  }

  /**
   * Sets the wall clock, as an administrator would; no other clock moves.
   *
   * @param {Date} now
   */
  setWall(now) {
    native.clockSetWall(this.#handle, instant(now));
  }

  /**
   * The machine sleeps: the wall clock goes on, the monotonic clock stands still.
   *
   * @param {number} seconds
   */
  sleep(seconds) {
    native.clockSleep(this.#handle, millis(seconds));
  }

  /** @param {unknown} clock */
  static handleOf(clock) {
    if (clock === undefined) return undefined;
    if (!(clock instanceof FakeClock)) throw new TypeError("`clock` is a FakeClock");
    return clock.#handle;
  }
}

/**
 * Certifies agents with real certificates and says how they stand, in this process only.
 *
 * Scopes are TOML text or an object with the same keys; money is written as strings: `{ per_action: "10.00" }`. What it
 * orders is in force when the method returns.
 */
class MemoryAuthority {
  #handle;
  /** @type {Map<string, { name: string, scope: string }>} */
  #names = new Map();

  /** @param {{ clock?: FakeClock }} [options] */
  constructor(options = {}) {
    const { clock } = onlyKnown("MemoryAuthority", options, ["clock"]);
    this.#handle = native.authorityNew(FakeClock.handleOf(clock));
  }

  /**
   * A new agent: its certificate ends after `days`, its revocation list after `hours`.
   *
   * @param {string | object} scope
   * @param {{ name?: string, days?: number, hours?: number, mode?: "enforce" | "observe" }} [options]
   */
  issue(scope, options = {}) {
    const known = ["name", "days", "hours", "mode"];
    const {
      name = "agent",
      days = DAYS,
      hours = HOURS,
      mode = "enforce",
    } = onlyKnown("issue", options, known);
    const text = textOf(scope);
    const open = () => native.authorityCertify(this.#handle, name, text, days, hours, mode);
    const agent = openedBy(open, "MemoryAuthority.issue(..)");
    this.#names.set(agent.agentId, { name, scope: text });
    return agent;
  }

  /**
   * A new certificate for the same key, with another scope if one is given.
   *
   * @param {Agent} agent
   * @param {{ scope?: string | object, days?: number }} [options]
   */
  renew(agent, options = {}) {
    const asked = onlyKnown("renew", options, ["scope", "days"]);
    const known = this.#names.get(agent.agentId);
    if (known === undefined) throw new KakuninError("this authority certified no such agent");
    const scope = asked.scope === undefined ? known.scope : textOf(asked.scope);
    native.authorityRecertify(this.#handle, handleOf(agent), known.name, scope, asked.days ?? DAYS);
    this.#names.set(agent.agentId, { name: known.name, scope });
  }

  /**
   * Until `resume`, everything the agent does is denied.
   *
   * @param {Agent} agent
   * @param {string} [reason]
   */
  suspend(agent, reason = "") {
    native.authorityOrder(this.#handle, handleOf(agent), "suspend", reason, HOURS);
  }

  /**
   * Lifts a suspension.
   *
   * @param {Agent} agent
   */
  resume(agent) {
    native.authorityOrder(this.#handle, handleOf(agent), "resume", "", HOURS);
  }

  /**
   * Ends the agent's certificate for good.
   *
   * @param {Agent} agent
   * @param {string} [reason]
   */
  revoke(agent, reason = "") {
    native.authorityOrder(this.#handle, handleOf(agent), "revoke", reason, HOURS);
  }

  /**
   * The current revocation lists as PEM, signed anew.
   *
   * @param {{ hours?: number }} [options]
   */
  lists(options = {}) {
    return native.authorityLists(this.#handle, own(options).hours ?? HOURS);
  }

  /**
   * Gives an agent this text as its revocation lists, whatever it is.
   *
   * @param {Agent} agent
   * @param {string} lists
   */
  handLists(agent, lists) {
    native.authorityHandLists(this.#handle, handleOf(agent), lists);
  }
}

/**
 * Holds that exactly this denial is thrown, or is what a promise is rejected with: the denial, or a promise of it.
 *
 * @param {string} code
 * @param {() => unknown} fn
 * @returns {any}
 */
function assertDenied(code, fn) {
  if (!native.denialCodes().includes(code)) {
    throw new TypeError(`\`${code}\` is no denial code; the codes are in DENIAL_CODES`);
  }
  /** @param {unknown} error */
  const judge = (error) => {
    if (!(error instanceof ScopeDenied)) throw error;
    if (error.code === code) return error;
    throw new Error(`denied with \`${error.code}\`; expected \`${code}\``, { cause: error });
  };
  const allowed = () => {
    throw new Error(`nothing was denied; expected \`${code}\``);
  };
  let result;
  try {
    result = fn();
  } catch (error) {
    return judge(error);
  }
  return result instanceof Promise ? result.then(allowed, judge) : allowed();
}

/**
 * Opens an agent's directory with a clock of its own. Unlike `Agent.fromDir` it opens anew each time.
 *
 * @param {string} directory
 * @param {{ clock?: FakeClock, lists?: string, state?: string }} [options]
 */
function openAgent(directory, options = {}) {
  const { clock, lists, state } = onlyKnown("openAgent", options, ["clock", "lists", "state"]);
  const kept = own({ mode: "enforce", state, levels: [], clock: FakeClock.handleOf(clock) });
  return openedBy(() => native.openDirectory(directory, lists, kept), "openAgent(..)");
}

/** @param {string | object} scope */
function textOf(scope) {
  return typeof scope === "string" ? scope : JSON.stringify(scope);
}

/** @param {Date} now */
function instant(now) {
  const time = now instanceof Date ? now.getTime() : Number.NaN;
  if (!Number.isFinite(time)) throw new TypeError("a clock is set to a Date that names an instant");
  return time;
}

/** @param {number} seconds */
function millis(seconds) {
  if (!Number.isFinite(seconds)) throw new TypeError("time is a number of seconds");
  return Math.trunc(seconds * 1000);
}

module.exports = { MemoryAuthority, FakeClock, assertDenied, noAgent: runAsNobody, openAgent };
