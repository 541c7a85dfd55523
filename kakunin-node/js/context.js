/** What a call stands in: the agent it acts as, and its place in a decision chain. */
"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");

const native = require("./native");
const { handleOf } = require("./agent");
const { KakuninError } = require("./errors");
const { warnOfIgnoredVariables } = require("./environment");

/** @typedef {import("./agent").Agent} Agent */

/** In the context: no agent at all. */
const NOBODY = 0;

/** @type {AsyncLocalStorage<Agent | typeof NOBODY>} */
const agents = new AsyncLocalStorage();
/** @type {AsyncLocalStorage<import("./native").Place>} */
const places = new AsyncLocalStorage();
// Until a context was entered once, none can hold anything, and none is asked.
let entered = false;
let chained = false;

/** @type {Agent | undefined} */
let processAgent;
let processHandle = 0;
/** @type {((agent: Agent) => void)[]} Called with the agent that `use` sets. */
const whenUsed = [];

/**
 * Makes `agent` the one of this thread, once, and warns of functions that it can never call.
 *
 * @param {Agent} agent
 */
function use(agent) {
  const handle = handleOf(agent, "what use takes");
  warnOfIgnoredVariables();
  if (processAgent === agent) return;
  if (processAgent !== undefined) {
    throw new KakuninError(
      "another agent is in use in this thread; use() sets one, runAs() and the option `agent` take others",
    );
  }
  processAgent = agent;
  processHandle = handle;
  for (const tell of whenUsed) tell(agent);
}

/**
 * Runs `fn`, and whatever it begins, as `agent`.
 *
 * @template T
 * @param {Agent} agent
 * @param {() => T} fn
 * @returns {T}
 */
function runAs(agent, fn) {
  handleOf(agent, "what runAs takes first");
  if (typeof fn !== "function")
    throw new TypeError("runAs takes an agent and a function: runAs(agent, () => ..)");
  entered = true;
  return agents.run(agent, fn);
}

/**
 * Runs `fn` without any agent, whatever `use` set: for tests.
 *
 * @template T
 * @param {() => T} fn
 * @returns {T}
 */
function runAsNobody(fn) {
  entered = true;
  return agents.run(NOBODY, fn);
}

/** The agent that a guarded function would act as here, if it names none itself. */
function currentAgent() {
  const found = entered ? agents.getStore() : undefined;
  return found === undefined ? processAgent : found === NOBODY ? undefined : found;
}

/** Its native handle; 0 if there is none. */
function actingHandle() {
  if (!entered) return processHandle;
  const found = agents.getStore();
  if (found === undefined) return processHandle;
  return found === NOBODY ? NOBODY : handleOf(found);
}

/** The place in a decision chain. */
function currentPlace() {
  return chained ? places.getStore() : undefined;
}

/**
 * Runs `fn` at a place in a chain.
 *
 * @template T
 * @param {import("./native").Place} place
 * @param {() => T} fn
 * @returns {T}
 */
function inPlace(place, fn) {
  chained = true;
  return places.run(place, fn);
}

/**
 * Goes on at another place: for the rest of this call and what it begins.
 *
 * @param {import("./native").Place} place
 */
function goOnAt(place) {
  chained = true;
  places.enterWith(place);
}

/**
 * The place of the body whose decision is running.
 *
 * @param {import("./native").Place} place
 * @param {number} running
 * @returns {import("./native").Place}
 */
function placeAfter(place, running) {
  const receipt = native.receiptOf(running);
  // A decision that was not recorded cannot be followed from; what comes next follows from where this came from.
  return typeof receipt === "string" ? { chain: place.chain, parents: [receipt], trace: place.trace } : place;
}

module.exports = {
  use,
  runAs,
  runAsNobody,
  currentAgent,
  actingHandle,
  currentPlace,
  inPlace,
  goOnAt,
  placeAfter,
  whenUsed,
  defaultAgent: () => processAgent,
};
