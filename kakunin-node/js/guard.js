/** `guard`: puts the guard in front of a function. */
"use strict";

const { types } = require("node:util");

const { handleOf } = require("./agent");
const { admit, newPlan } = require("./admit");
const context = require("./context");
const { decision, dry } = require("./decision");
const { internal } = require("./errors");
const { onlyKnown } = require("./options");
const outcome = require("./outcome");
const { compile } = require("./selector");

/** @typedef {import("./agent").Agent} Agent */

const RULES = [
  "amount",
  "amountMinor",
  "currency",
  "counterparty",
  "resource",
  "agent",
  "agentId",
  "promise",
];

/**
 * Lets a function run only as far as the agent's certificate allows.
 *
 * @param {string} action
 * @param {any} rules
 * @param {any} fn
 * @returns {any}
 */
function guard(action, rules, fn) {
  if (typeof action !== "string") {
    throw new TypeError('guard takes an action such as "payments:send", selectors and a function');
  }
  if (typeof fn !== "function") {
    throw new TypeError(
      `guard("${action.slice(0, 64)}", ..) takes a function last, not ${fn === null ? "null" : `a value of type ${typeof fn}`}`,
    );
  }
  const name = fn.name || "the function";
  if (isClass(fn)) throw new TypeError(`\`${name}\` is a class; guard the methods that act`);
  const { agent, agentId, promise = false, ...selectors } = onlyKnown(`guard of ${name}`, rules ?? {}, RULES);
  if (agentId !== undefined && typeof agentId !== "string") {
    throw new TypeError(`${name}: \`agentId\` is the id of an agent, a string`);
  }
  if (typeof promise !== "boolean") throw new TypeError(`${name}: \`promise\` is true or false`);
  const fixed = agent === undefined ? 0 : handleOf(agent, `${name}: \`agent\``);
  const compiled = compile(selectors, name);
  const plan = newPlan(action, compiled, fixed, agentId);

  const wrapper = wrap(plan, fn, promise);
  const guarded = Object.freeze({
    function: name,
    action,
    selectors: Object.freeze(selectors),
    agent,
    check(/** @type {unknown[]} */ ...args) {
      const acting = fixed === 0 ? context.actingHandle() : fixed;
      return decision(action, dry(plan.handle, acting, compiled.read(args)));
    },
  });
  for (const key of ["name", "length"]) {
    const own = Object.getOwnPropertyDescriptor(fn, key);
    if (own !== undefined) Object.defineProperty(wrapper, key, { ...own, configurable: true });
  }
  Object.defineProperty(wrapper, "guarded", { value: guarded });
  guards.add(new WeakRef(guarded));
  const effective = agent ?? context.defaultAgent();
  if (effective !== undefined) warnIfNeverAllowed(guarded, effective);
  return wrapper;
}

/**
 * @param {import("./admit").Plan} plan
 * @param {any} fn
 * @param {boolean} promise
 */
function wrap(plan, fn, promise) {
  // Methods, because nothing of this can be called with `new`: a constructor would run a body of its own.
  if (types.isGeneratorFunction(fn)) {
    return types.isAsyncFunction(fn)
      ? {
          async *wrapper(/** @type {any[]} */ ...args) {
            const running = admit(plan, args);
            const place = placeOf(running);
            const inner = begun(running, () => at(place, () => fn.apply(this, args)));
            return running === 0
              ? yield* inner
              : yield* outcome.asyncSteps(running, /** @type {any} */ (inner), place);
          },
        }.wrapper
      : {
          *wrapper(/** @type {any[]} */ ...args) {
            const running = admit(plan, args);
            const place = placeOf(running);
            const inner = begun(running, () => at(place, () => fn.apply(this, args)));
            return running === 0 ? yield* inner : yield* outcome.steps(running, inner, place);
          },
        }.wrapper;
  }
  if (promise || types.isAsyncFunction(fn)) {
    return {
      wrapper(/** @type {any[]} */ ...args) {
        let running;
        try {
          running = admit(plan, args);
        } catch (error) {
          return Promise.reject(error);
        }
        return running === 0 ? fn.apply(this, args) : run(running, fn, this, args);
      },
    }.wrapper;
  }
  return {
    wrapper(/** @type {any[]} */ ...args) {
      const running = admit(plan, args);
      return running === 0 ? fn.apply(this, args) : run(running, fn, this, args);
    },
  }.wrapper;
}

/**
 * Runs a body whose outcome somebody needs to know.
 *
 * @param {number} running
 * @param {any} fn
 * @param {any} self
 * @param {any[]} args
 */
function run(running, fn, self, args) {
  const place = placeOf(running);
  const result = begun(running, () => at(place, () => fn.apply(self, args)));
  if (outcome.defers(result)) return outcome.follow(running, result, place);
  outcome.finish(running, outcome.RETURNED);
  return result;
}

/**
 * @template T
 * @param {number} running
 * @param {() => T} body
 * @returns {T}
 */
function begun(running, body) {
  if (running === 0) return body();
  try {
    return body();
  } catch (error) {
    outcome.conclude(running, error);
    throw error;
  }
}

/**
 * Where the body is in its chain, if it is in one.
 *
 * @param {number} running
 */
function placeOf(running) {
  const outer = running === 0 ? undefined : context.currentPlace();
  if (outer === undefined) return undefined;
  try {
    return context.placeAfter(outer, running);
  } catch (error) {
    outcome.finish(running, outcome.NOT_EXECUTED);
    throw internal(error);
  }
}

/**
 * @template T
 * @param {import("./native").Place | undefined} place
 * @param {() => T} act
 * @returns {T}
 */
function at(place, act) {
  return place === undefined ? act() : context.inPlace(place, act);
}

/** @param {Function} fn */
function isClass(fn) {
  const own = Object.getOwnPropertyDescriptor(fn, "prototype");
  // Of what has a prototype, only that of a class cannot be replaced; generator functions are no classes.
  return own !== undefined && own.writable === false;
}

/**
 * What a guarded function demands; a `TypeError` if it is not guarded.
 *
 * @param {any} fn
 * @returns {any}
 */
function guarded(fn) {
  const found = typeof fn === "function" ? fn.guarded : undefined;
  if (found === undefined) throw new TypeError("this function is not guarded");
  return found;
}

/**
 * @param {{ function: string, action: string, agent?: Agent }} each
 * @param {Agent} agent
 */
function warnIfNeverAllowed(each, agent) {
  if (!agent.mayEver(each.action)) {
    process.emitWarning(
      `${each.function} can never be called: agent ${agent.agentId} is not allowed ${each.action.slice(0, 128)}`,
      "KakuninWarning",
    );
  }
}

/** @type {Set<WeakRef<{ function: string, action: string, agent?: Agent }>>} */
const guards = new Set();

context.whenUsed.push((agent) => {
  for (const reference of guards) {
    const each = reference.deref();
    if (each === undefined) guards.delete(reference);
    else if (each.agent === undefined) warnIfNeverAllowed(each, agent);
  }
});

/**
 * `guard` as a decorator of methods, standard or that of TypeScript's `experimentalDecorators`.
 *
 * @param {string} action
 * @param {any} [rules]
 * @returns {any}
 */
function verifyAgentScope(action, rules = {}) {
  return (/** @type {any} */ target, /** @type {any} */ context, /** @type {any} */ descriptor) => {
    if (typeof context === "object" && context !== null && typeof context.kind === "string") {
      if (context.kind !== "method" && context.kind !== "getter") {
        throw new TypeError(`verifyAgentScope guards methods and getters, not a ${context.kind}`);
      }
      return guard(action, rules, target);
    }
    if (typeof descriptor === "object" && descriptor !== null && typeof descriptor.value === "function") {
      return { ...descriptor, value: guard(action, rules, descriptor.value) };
    }
    throw new TypeError("verifyAgentScope guards methods; for a function write guard(action, selectors, fn)");
  };
}

module.exports = { guard, guarded, verifyAgentScope };
