/**
 * `guardTools`: puts the guard behind every door of the tools of an agent.
 *
 * A tool is a function, or an object whose body is one of its properties: `execute` (Vercel's `ai`, Mastra), `func`
 * (LangChain), `callback` or `handler`. What a model reads of a denial names no limit.
 */
"use strict";

const { ScopeDenied } = require("./errors");
const { guard } = require("./guard");
const { onlyKnown } = require("./options");

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
Object.defineProperty(ToolDenied.prototype, "name", {
  value: "ToolDenied",
  configurable: true,
  writable: true,
});

/**
 * The same tools, guarded by the rules of `map`. A tool without a rule is a `TypeError`; `null` leaves one unguarded.
 *
 * @param {any} tools an object of tools, or an array of tools that have a `name`
 * @param {Record<string, string | null | { action: string }>} map
 * @param {{ onDeny?: "throw" | "return" | ((denied: Denied) => unknown), agent?: import("./agent").Agent }} [options]
 * @returns {any}
 */
function guardTools(tools, map, options = {}) {
  onlyKnown("guardTools", options, ["onDeny", "agent"]);
  const { onDeny = "throw", agent } = options;
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
  const guarded = named.map(([name, tool]) => {
    const rule = map[name];
    return [name, rule === null || rule === undefined ? tool : guardTool(name, tool, rule, agent, onDeny)];
  });
  return Array.isArray(tools) ? guarded.map(([, tool]) => tool) : Object.fromEntries(guarded);
}

/**
 * @param {string} name
 * @param {any} tool
 * @param {string | { action: string }} rule
 * @param {import("./agent").Agent | undefined} agent
 * @param {"throw" | "return" | ((denied: Denied) => unknown)} onDeny
 */
function guardTool(name, tool, rule, agent, onDeny) {
  const { action, ...given } = typeof rule === "string" ? { action: rule } : rule;
  const selectors = agent === undefined ? given : { agent, ...given };
  const body = (/** @type {any} */ fn) => answering(guard(action, selectors, fn), onDeny);
  if (typeof tool === "function") return body(tool);
  const where = BODIES.find((property) => typeof tool?.[property] === "function");
  if (where === undefined) {
    throw new TypeError(
      `guardTools: \`${name}\` is no function and has none of ${BODIES.join(", ")}; it can be run in ways nobody sees:` +
        " guard the function that it was made of",
    );
  }
  // Every other door of the tool leads to its body, by way of the object that it is called on.
  return Object.create(Object.getPrototypeOf(tool), {
    ...Object.getOwnPropertyDescriptors(tool),
    [where]: { value: body(tool[where]), enumerable: true, writable: false, configurable: false },
  });
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
      return result instanceof Promise ? result.catch(answer) : result;
    },
  }.answered;
  Object.defineProperty(answered, "name", { value: fn.name, configurable: true });
  Object.defineProperty(answered, "length", { value: fn.length, configurable: true });
  Object.defineProperty(answered, "guarded", { value: fn.guarded });
  return answered;
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
