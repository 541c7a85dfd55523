/**
 * One question for every framework: may this request act? The proof first, then the values it carries, then the decision.
 * Whatever goes wrong on the way is a refusal; nothing here ends in a handler that runs unasked.
 */
"use strict";

const { onlyKnown } = require("../options");
const { asWritten, compile, isCurrency, isWritten } = require("../selector");
const { DECIMAL, UNREADABLE, values } = require("../values");
const { NoBody } = require("./body");
const { Gateway, admit } = require("./gateway");
const { ProvenRequest, split } = require("./proven");

/**
 * @typedef {import("./types").Arrival} Arrival
 * @typedef {{ refusal: import("../native").Refusal, unread?: number }} Refused Of content that was not read, `unread` octets may be
 *   passed over.
 * @typedef {{ gone: true }} Gone
 * @typedef {{ running: import("./gateway").Running, caller: import("./gateway").Caller, proven: ProvenRequest }} Admitted
 * @typedef {Refused | Gone | Admitted} Answer
 */

/** What a route demands; what is wrong with it is a `TypeError` when the service starts. */
class Demand {
  /**
   * @param {string} action
   * @param {import("./types").RequestSelectors} selectors
   * @param {Partial<import("./types").RequireAgentOptions>} options
   */
  constructor(action, selectors, options) {
    if (typeof action !== "string" || action === "") {
      throw new TypeError('requireAgent takes an action first, such as "payments:send"');
    }
    const roles = ["amount", "amountMinor", "currency", "counterparty", "resource"];
    const wanted = onlyKnown("requireAgent", selectors, roles);
    const { gateway, onError = warn } = onlyKnown("requireAgent", options, ["gateway", "onError"]);
    if (!(gateway instanceof Gateway)) {
      throw new TypeError("requireAgent takes { gateway }, which Gateway.open(agent, { names: [..] }) opens");
    }
    if (typeof onError !== "function")
      throw new TypeError("`onError` is a function that is told what failed");
    this.action = action;
    this.gateway = gateway;
    this.selectors = compile(ofContent(wanted), `requireAgent(${JSON.stringify(action)})`);
    this.onError = onError;
  }

  /** @param {unknown} error */
  tell(error) {
    try {
      this.onError(error);
    } catch {
      warn(error);
    }
  }
}

/**
 * The same selectors with paths that begin at the request: a path is one into its content, as at every gateway.
 *
 * @param {Record<string, unknown>} selectors
 */
function ofContent(selectors) {
  /**
   * @param {unknown} selector
   * @returns {any}
   */
  const within = (selector) => {
    if (typeof selector === "string") return selector === "" ? selector : `body.${selector}`;
    if (Array.isArray(selector)) return selector.map(within);
    return isWritten(selector) ? asWritten(within(selector.selector)) : selector;
  };
  const { currency, ...others } = selectors;
  const paths = Object.fromEntries(
    Object.entries(others).map(([role, selector]) => [role, within(selector)]),
  );
  return { ...paths, currency: isCurrency(currency) ? currency : within(currency) };
}

/**
 * The answer: `refusal`, to be sent; `gone`, when there is nobody to answer; or `running`: the handler runs, and whoever runs it
 * says how it ended.
 *
 * @param {Demand} demand
 * @param {Arrival} arrival
 * @returns {Promise<Answer>}
 */
async function ask(demand, arrival) {
  const { gateway, action, selectors } = demand;
  try {
    const found = await identify(gateway, action, arrival);
    if (found.refusal) return { refusal: told(demand, found.refusal), unread: found.unread };
    const proven = new ProvenRequest(arrival, found.octets, found.caller);
    // Whatever the selectors say of it: a parser of the service may find another content in the same octets.
    const asked = proven.isAmbiguous ? UNREADABLE_VALUES : selectors.read([proven]);
    // A caller that went away while its content came cannot be told what was done.
    if (arrival.isGone()) return { gone: true };
    const { refusal, running } = admit(found.caller, action, selectors.literal, asked);
    return refusal ? { refusal: told(demand, refusal) } : { running, caller: found.caller, proven };
  } catch (error) {
    if (error instanceof NoBody && error.kind === "aborted") return { gone: true };
    if (error instanceof NoBody && error.kind === "over")
      return { refusal: gateway.refuse("over", ""), unread: gateway.maxBody };
    demand.tell(error);
    const kind = error instanceof NoBody ? "misconfigured" : "internal";
    return {
      refusal: gateway.refuse(kind, error instanceof Error ? error.message : String(error)),
      unread: gateway.maxBody,
    };
  }
}

/**
 * Who sends this. A proof counts once, so a second demand on the same request, by another route or for another action, goes by
 * what the first one found. Of a request that was changed in between nothing is known.
 *
 * @param {Gateway} gateway
 * @param {string} action
 * @param {Arrival} arrival
 */
async function identify(gateway, action, arrival) {
  const asked = identified.get(arrival.key) ?? new Map();
  identified.set(arrival.key, asked);
  const line = `${arrival.method} ${arrival.target}`;
  if (!asked.has(gateway)) asked.set(gateway, prove(gateway, action, arrival, line));
  const found = await asked.get(gateway);
  if (found.line !== line) {
    throw new Error(`the request was \`${found.line}\` when it was proven, and is \`${line}\` now`);
  }
  return found;
}

/**
 * The head first: of whoever proves nothing, or is held or revoked, no content is read.
 *
 * @param {Gateway} gateway
 * @param {string} action
 * @param {Arrival} arrival
 * @param {string} line
 */
async function prove(gateway, action, arrival, line) {
  const [path, query] = split(arrival.target);
  const { method, authority, fields, socket } = arrival;
  const asked = await gateway.proveHead(action, { method, authority, path, query, fields, socket });
  if (asked.refusal) return { line, refusal: asked.refusal, unread: gateway.maxBody };
  let octets;
  try {
    octets = await arrival.octets(gateway.maxBody);
  } catch (error) {
    gateway.forget(asked.head);
    throw error;
  }
  return { line, octets, ...(await gateway.identify(asked.head, octets)) };
}

/**
 * What is wrong with the service itself is for its operator; what is wrong with a caller is in the journal.
 *
 * @param {Demand} demand
 * @param {import("../native").Refusal} refusal
 */
function told(demand, refusal) {
  if (refusal.status >= 500) demand.tell(new Error(`${refusal.code}: ${refusal.cause ?? refusal.problem}`));
  return refusal;
}

/** @param {unknown} error */
function warn(error) {
  process.emitWarning(
    `a request was refused: ${error instanceof Error ? error.message : error}`,
    "KakuninWarning",
  );
}

/** What is denied with `request.amount_invalid`, and recorded. */
const UNREADABLE_VALUES = values(DECIMAL, UNREADABLE, undefined, undefined, undefined);

/** @type {WeakMap<object, Map<Gateway, Promise<any>>>} */
const identified = new WeakMap();

module.exports = { Demand, ask };
