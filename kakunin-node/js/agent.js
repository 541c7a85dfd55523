/** Agents of this thread: opening them, telling of them, closing them. */
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const { OPTIONS, connected, line, realPath, statusOf, tell } = require("./connect");
const native = require("./native");
const { KakuninError } = require("./errors");
const { warnOfIgnoredVariables } = require("./environment");
const { dryDecision } = require("./decision");
const { onlyKnown, own } = require("./options");

/** @typedef {{ levels?: Record<string, string>, sealed?: boolean }} Journal */

/** Nobody outside this package makes an agent from a handle. */
const OPENED = Symbol("opened");

/**
 * An open agent: its verified certificate, its leash, its journal.
 *
 * An agent belongs to its thread: each worker opens its own, and one that was sent to another thread is no agent there.
 */
class Agent {
  #handle;
  #from;

  /**
   * @param {symbol} key
   * @param {number} handle
   * @param {string} from
   */
  constructor(key, handle, from) {
    if (key !== OPENED) {
      throw new TypeError(
        "an agent is opened by Agent.connect, Agent.fromDir, Agent.fromEnv or Agent.fromPem",
      );
    }
    this.#handle = handle;
    this.#from = from;
    /** The agent's id. */
    this.agentId = native.agentId(handle);
    /** `enforce` or `observe`. */
    this.mode = native.agentMode(handle);
    Object.freeze(this);
    forgotten.register(this, handle);
    closeAtExit();
  }

  /**
   * Opens an agent's directory; one that is open in this thread already is the same agent.
   *
   * @param {string} directory
   * @param {{ lists?: string, state?: string, mode?: "enforce" | "observe", journal?: Journal }} [options]
   */
  static fromDir(directory, options = {}) {
    const known = onlyKnown("Agent.fromDir", options, ["lists", "state", "mode", "journal"]);
    warnOfIgnoredVariables();
    if (typeof directory !== "string") throw new TypeError("Agent.fromDir takes the path of a directory");
    const { lists, state, mode = "enforce", journal } = known;
    const key = realPath(directory);
    const kept = own({ mode, state, ...journalOptions(journal) });
    const asked = JSON.stringify([lists ?? null, kept]);
    const open = openAlready(key, asked);
    if (open !== undefined) return open;
    if (connecting.has(key)) throw new KakuninError(`\`${key}\` is being connected`);
    const handle = failing(() => native.openDirectory(key, lists, kept));
    const agent = new Agent(OPENED, handle, `Agent.fromDir(${JSON.stringify(directory)})`);
    for (const notice of agent.notices()) process.emitWarning(`${key}: ${notice}`, "KakuninWarning");
    byDirectory.set(key, { agent, asked });
    return agent;
  }

  /**
   * Connects an agent to its authority: papers, lists and the feed of revocations come by themselves, and renew by themselves.
   *
   * What is not given comes from the environment. A directory that is connected in this thread already is the same agent.
   *
   * @param {string | string[]} [url]
   * @param {string} [agent]
   * @param {import("./index").ConnectOptions} [options]
   * @returns {Promise<Agent>}
   */
  static async connect(url, agent, options = {}) {
    const known = onlyKnown("Agent.connect", options, OPTIONS);
    warnOfIgnoredVariables();
    const { mode = "enforce", journal } = known;
    const asking = line(url, agent, known);
    const key = asking.directory;
    const kept = own({ mode, state: asking.state, ...journalOptions(journal) });
    // The token has done what it is for; who connects again needs none.
    const asked = JSON.stringify([
      "connect",
      { ...asking, token: undefined, timeoutMillis: undefined },
      kept,
    ]);
    const open = openAlready(key, asked);
    if (open !== undefined) return open;
    const meanwhile = connecting.get(key);
    if (meanwhile !== undefined) {
      if (meanwhile.asked !== asked)
        throw new KakuninError(`\`${key}\` is being connected, with other options`);
      return meanwhile.agent;
    }
    const agentOf = async () => {
      const handle = await connected(asking, kept);
      const agent = new Agent(OPENED, handle, `Agent.connect(.., ${JSON.stringify(asking.agent)})`);
      byDirectory.set(key, { agent, asked });
      listen(agent);
      return agent;
    };
    const waiting = agentOf().finally(() => connecting.delete(key));
    connecting.set(key, { agent: waiting, asked });
    return waiting;
  }

  /**
   * Opens the directory that `KAKUNIN_AGENT_DIR` names; `KAKUNIN_STATE_DIR` is its state, if set.
   *
   * @param {{ journal?: Journal }} [options]
   */
  static fromEnv(options = {}) {
    const known = onlyKnown("Agent.fromEnv", options, ["journal"]);
    const directory = process.env.KAKUNIN_AGENT_DIR;
    if (!directory) throw new KakuninError("KAKUNIN_AGENT_DIR is not set; it names the agent's directory");
    const state = process.env.KAKUNIN_STATE_DIR;
    // A path in any case: only code can choose to have no state.
    return Agent.fromDir(directory, { ...known, ...(state ? { state: path.resolve(state) } : {}) });
  }

  /**
   * Opens an agent from PEM texts, or files that hold them, with its state in memory.
   *
   * @param {string | Uint8Array} certificate
   * @param {{ key: string | Uint8Array, chain: string | Uint8Array, ca: string | Uint8Array, lists: string | Uint8Array,
   *   issuer?: string, names?: string[], mode?: "enforce" | "observe", journal?: Journal }} papers
   */
  static fromPem(certificate, papers) {
    const known = ["key", "chain", "ca", "lists", "issuer", "names", "mode", "journal"];
    const {
      key,
      chain,
      ca,
      lists,
      issuer,
      names = [],
      mode = "enforce",
      journal,
    } = onlyKnown("Agent.fromPem", papers, known);
    warnOfIgnoredVariables();
    const texts = own({
      certificate: pem("certificate", certificate),
      key: pem("key", key),
      chain: pem("chain", chain),
      ca: pem("ca", ca),
      lists: pem("lists", lists),
      issuer,
      names,
    });
    const kept = own({ mode, ...journalOptions(journal) });
    const handle = failing(() => native.openPem(texts, kept));
    return new Agent(OPENED, handle, "Agent.fromPem(..)");
  }

  /**
   * The decision about a request, now or `at` another time: nothing runs, nothing is reserved, nothing is recorded.
   *
   * @param {string} action
   * @param {import("./index").Request} [request]
   */
  check(action, request = {}) {
    const known = ["amount", "amountMinor", "currency", "counterparty", "resource", "at"];
    return dryDecision(action, this.#handle, onlyKnown("agent.check", request, known));
  }

  /**
   * Whether some request for the action can ever be allowed.
   *
   * @param {string} action
   * @returns {boolean}
   */
  mayEver(action) {
    return native.mayEver(this.#handle, action);
  }

  /**
   * Looks at clocks, papers and lists now instead of within 250 ms. False if it could not: another look was in the way for
   * 100 ms, and decisions go on by what was known before.
   *
   * @returns {boolean}
   */
  refresh() {
    return native.refresh(this.#handle);
  }

  /** What happened since the last call and an operator should know. */
  notices() {
    return native.takeNotices(this.#handle);
  }

  /**
   * Brings newer lists to an agent that was opened from texts.
   *
   * @param {string | Uint8Array} lists
   */
  replaceLists(lists) {
    failing(() => native.replaceLists(this.#handle, pem("lists", lists)));
  }

  /** How the connection to the authority is doing, now; for agents of `connect`. */
  status() {
    const status = statusOf(this.#handle);
    if (status === undefined) {
      throw new KakuninError(`only a connected agent has a status; this one is from ${this.#from}`);
    }
    tell(this, this.#handle);
    return status;
  }

  /**
   * Signs what waits, ends the stream of receipts and joins all threads. A later call begins another stream.
   *
   * A connected agent hears nothing from then on, and is denied as soon as the last word is too old; `connect` opens it again.
   */
  close() {
    native.close(this.#handle);
    if (!listening.delete(this)) return;
    for (const [key, open] of byDirectory) if (open.agent === this) byDirectory.delete(key);
    tell(this, this.#handle);
    if (listening.size === 0) clearInterval(ear);
  }

  toJSON() {
    return { agentId: this.agentId, mode: this.mode, from: this.#from };
  }

  toString() {
    return `<Agent ${this.agentId}>`;
  }

  /**
   * @param {unknown} value
   * @returns {value is Agent}
   */
  static isAgent(value) {
    return typeof value === "object" && value !== null && #handle in value;
  }

  /** @param {Agent} agent */
  static _handle(agent) {
    return agent.#handle;
  }
}

const handle = Agent._handle;
// @ts-expect-error Its only user is here.
delete Agent._handle;

/**
 * The native handle of an agent; a `TypeError` for anything else.
 *
 * @param {unknown} agent
 * @param {string} [what]
 * @returns {number}
 */
function handleOf(agent, what = "the agent") {
  if (Agent.isAgent(agent)) return handle(agent);
  throw new TypeError(
    `${what} is a kakunin-node Agent, not ${shown(agent)}; an agent of another thread is opened again in this one`,
  );
}

/**
 * Opens an agent in another way than the three above; for this package only.
 *
 * @param {() => number} open
 * @param {string} from
 */
function openedBy(open, from) {
  return new Agent(OPENED, failing(open), from);
}

/** @param {unknown} value */
function shown(value) {
  return value === null ? "null" : typeof value === "object" ? "another object" : `a ${typeof value}`;
}

/**
 * Runs something of the native half; what fails there is a `KakuninError`.
 *
 * @template T
 * @param {() => T} act
 * @returns {T}
 */
function failing(act) {
  try {
    return act();
  } catch (error) {
    throw new KakuninError(error instanceof Error ? error.message : String(error));
  }
}

/** @param {Journal | undefined} journal */
function journalOptions(journal) {
  if (journal === undefined) return { levels: [], sealed: undefined };
  const { levels = {}, sealed } = onlyKnown("journal", journal, ["levels", "sealed"]);
  if (typeof levels !== "object" || levels === null) {
    throw new TypeError('journal.levels is an object of patterns and levels: { "payments:*": "sync" }');
  }
  for (const [pattern, level] of Object.entries(levels)) {
    if (typeof level !== "string") {
      throw new TypeError(`the level of \`${pattern}\` is "enqueue", "write" or "sync"`);
    }
  }
  if (sealed !== undefined && typeof sealed !== "boolean")
    throw new TypeError("journal.sealed is true or false");
  return { levels: Object.entries(levels), sealed };
}

/**
 * @param {string} part
 * @param {string | Uint8Array} value
 */
function pem(part, value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (typeof value !== "string")
    throw new TypeError(`\`${part}\` is PEM text, its bytes or the path of its file`);
  return value.includes("-----BEGIN") ? value : failing(() => fs.readFileSync(value, "latin1"));
}

/**
 * The agent of a directory that is open in this thread; an error if it was opened with other options.
 *
 * @param {string} key
 * @param {string} asked
 */
function openAlready(key, asked) {
  const open = byDirectory.get(key);
  if (open !== undefined && open.asked !== asked) {
    throw new KakuninError(`\`${key}\` is open already, with other options`);
  }
  return open?.agent;
}

/**
 * Has what connected agents should tell an operator told within a second. It keeps no process alive.
 *
 * @param {Agent} agent
 */
function listen(agent) {
  if (listening.size === 0) {
    ear = setInterval(() => {
      for (const agent of listening) tell(agent, handleOf(agent));
    }, 1000).unref();
  }
  listening.add(agent);
  tell(agent, handleOf(agent));
}

function closeAtExit() {
  if (closing) return;
  closing = true;
  // Also the exit of a worker; one that is terminated closes its agents in the native half.
  process.on("exit", () => native.closeAll());
}

let closing = false;
/** @type {Map<string, { agent: Agent, asked: string }>} */
const byDirectory = new Map();
/** @type {Map<string, { agent: Promise<Agent>, asked: string }>} */
const connecting = new Map();
/** @type {Set<Agent>} */
const listening = new Set();
/** @type {NodeJS.Timeout | undefined} */
let ear;
const forgotten = new FinalizationRegistry((/** @type {number} */ handle) => native.releaseAgent(handle));

module.exports = { Agent, handleOf, openedBy };
