/**
 * `guardTools`: puts the guard behind every door of the tools of an agent.
 *
 * A tool is a function, or an object whose bodies are properties of it: `execute` (Vercel's `ai`, Mastra), `func` (LangChain),
 * `callback` or `handler` (MCP). What a model reads of a denial names no limit.
 */
"use strict";

const { types } = require("node:util");

const { ScopeDenied, known } = require("./errors");
const { guard } = require("./guard");
const { onlyKnown, own } = require("./options");

/** @typedef {InstanceType<typeof ScopeDenied>} Denied */

/** Where tools of the frameworks keep their body. */
const BODIES = ["execute", "func", "callback", "handler"];

/** A denial as a framework may show it to a model: the message names no limit; the denial itself is the `cause`. */
class ToolDenied extends Error {
  /** @param {Denied} denied */
  constructor(denied) {
    super(denied.forModel(), { cause: denied });
    this.code = denied.code;
    this.decisionId = denied.decisionId;
  }
}
known("ToolDenied", ToolDenied);

/**
 * The same tools, guarded by the rules of `map`: objects are changed where they are, functions come back in another one. A tool without a rule is a `TypeError`; `null` leaves one unguarded.
 *
 * @param {any} tools an object of tools, or an array of tools that have a `name`
 * @param {Record<string, string | null | { action: string }>} map
 * @param {{ onDeny?: "throw" | "return" | ((denied: Denied) => unknown), agent?: import("./agent").Agent }} [options]
 * @returns {any}
 */
function guardTools(tools, map, options = {}) {
  const { onDeny = "throw", agent } = onlyKnown("guardTools", options, ["onDeny", "agent"]);
  if (onDeny !== "throw" && onDeny !== "return" && typeof onDeny !== "function") {
    throw new TypeError('guardTools: onDeny is "throw", "return" or a function of the denial');
  }
  if (typeof tools !== "object" || tools === null)
    throw new TypeError("guardTools takes an object or an array of tools");
  if (typeof map !== "object" || map === null)
    throw new TypeError("guardTools takes a rule for each tool by its name");
  /** @type {[string, any][]} */
  const named = Array.isArray(tools) ? tools.map((tool) => [nameOf(tool), tool]) : Object.entries(tools);
  const names = new Set();
  for (const [name] of named) {
    if (names.has(name)) throw new TypeError(`guardTools: two tools are named \`${name}\``);
    names.add(name);
    if (!Object.hasOwn(map, name) || map[name] === undefined) {
      throw new TypeError(`guardTools: the tool \`${name}\` has no rule; null leaves it unguarded`);
    }
  }
  const stray = Object.keys(map).find((name) => !names.has(name));
  if (stray !== undefined) {
    throw new TypeError(
      `guardTools: a rule names the tool \`${stray}\`; the tools are ${[...names].join(", ") || "none"}`,
    );
  }
  // All rules are looked at before the first tool is changed.
  const made = named.map(([name, tool]) => {
    const rule = map[name];
    const bodies = rule === null || rule === undefined ? [] : bodiesOf(name, tool, rule, agent, onDeny);
    return { name, tool, bodies };
  });
  const guarded = made.map(({ name, tool, bodies }) => {
    if (typeof bodies === "function") return [name, bodies];
    for (const [property, body] of bodies) put(name, tool, property, body);
    return [name, tool];
  });
  return Array.isArray(tools) ? guarded.map(([, tool]) => tool) : Object.fromEntries(guarded);
}

/**
 * The guarded body of a tool that is a function, or those of one that is an object by their properties.
 *
 * @param {string} name
 * @param {any} tool
 * @param {string | { action: string }} rule
 * @param {import("./agent").Agent | undefined} agent
 * @param {"throw" | "return" | ((denied: Denied) => unknown)} onDeny
 * @returns {Function | [string, Function][]}
 */
function bodiesOf(name, tool, rule, agent, onDeny) {
  const { action, ...given } = own(typeof rule === "string" ? { action: rule } : rule);
  const selectors = agent === undefined ? given : { agent, ...given };
  const body = (/** @type {any} */ fn) => answering(guard(action, selectors, fn), onDeny);
  if (typeof tool === "function") return body(tool);
  const found = BODIES.filter((property) => typeof tool?.[property] === "function");
  if (found.length === 0) {
    throw new TypeError(
      `guardTools: \`${name}\` is no function and has none of ${BODIES.join(", ")}; it can be run in ways nobody sees:` +
        " guard the function that it was made of",
    );
  }
  return found.map((property) => [property, body(tool[property])]);
}

/**
 * Puts a guarded body into the tool itself and not into a copy: a server that knows the tool already, and a method that is bound
 * to it, lead there too. Nobody can put another body in its place.
 *
 * @param {string} name
 * @param {any} tool
 * @param {string} property
 * @param {Function} body
 */
function put(name, tool, property, body) {
  const { enumerable = true } = Object.getOwnPropertyDescriptor(tool, property) ?? {};
  const is = { value: body, enumerable, writable: false, configurable: false };
  if (!Reflect.defineProperty(tool, property, is) || tool[property] !== body) {
    throw new TypeError(
      `guardTools: \`${property}\` of \`${name}\` cannot be replaced; it is frozen, or guarded already:` +
        " guard the function that it was made of",
    );
  }
}

/**
 * @param {any} fn guarded
 * @param {"throw" | "return" | ((denied: Denied) => unknown)} onDeny
 */
function answering(fn, onDeny) {
  /** @param {unknown} error */
  const answer = (error) => {
    if (!(error instanceof ScopeDenied)) throw error;
    if (onDeny === "throw") throw new ToolDenied(error);
    return onDeny === "return" ? error.forModel() : onDeny(error);
  };
  const answered = {
    answered(/** @type {any[]} */ ...args) {
      let result;
      try {
        result = fn.apply(this, args);
      } catch (error) {
        return answer(error);
      }
      if (types.isGeneratorObject(result)) {
        const isAsync = typeof (/** @type {any} */ (result)[Symbol.asyncIterator]) === "function";
        return isAsync ? answeringAsyncSteps(result, answer) : answeringSteps(result, answer);
      }
      return result instanceof Promise ? result.catch(answer) : result;
    },
  }.answered;
  Object.defineProperty(answered, "name", { value: fn.name, configurable: true });
  Object.defineProperty(answered, "length", { value: fn.length, configurable: true });
  Object.defineProperty(answered, "guarded", { value: fn.guarded });
  return answered;
}

/**
 * A generator whose denial is answered: as its last step, and as what it returns.
 *
 * @param {any} inner
 * @param {(error: unknown) => unknown} answer
 * @returns {Generator<any, any, any>}
 */
function* answeringSteps(inner, answer) {
  try {
    return yield* inner;
  } catch (error) {
    const told = answer(error);
    yield told;
    return told;
  }
}

/**
 * @param {any} inner
 * @param {(error: unknown) => unknown} answer
 * @returns {AsyncGenerator<any, any, any>}
 */
async function* answeringAsyncSteps(inner, answer) {
  try {
    return yield* inner;
  } catch (error) {
    const told = await answer(error);
    yield told;
    return told;
  }
}

/** @param {any} tool */
function nameOf(tool) {
  const name = tool?.name;
  if (typeof name !== "string" || name === "") {
    throw new TypeError("guardTools: a tool in a list has a `name`; give an object of tools by name");
  }
  return name;
}

module.exports = { guardTools, ToolDenied };
