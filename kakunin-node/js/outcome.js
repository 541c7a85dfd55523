/**
 * How guarded actions end, also those that end later than the function that was called.
 *
 * A plain function may hand back a promise, something else with a `then`, or a generator. It was judged at the call; what it
 * does is over when that is. So receipt and budgets wait for it, and whoever never begins it leaves an action whose result is
 * unknown.
 */
"use strict";

const { types } = require("node:util");

const native = require("./native");
const { inPlace } = require("./context");
const { NotExecuted } = require("./errors");

// The words of src/running.rs.
const RETURNED = 0;
const RAISED = 1;
const CANCELLED = 2;
const NOT_EXECUTED = 3;
const UNKNOWN = 4;

/** @typedef {import("./native").Place | undefined} MaybePlace */

/**
 * Records how an action ended. The action is done: what fails here denies the next one.
 *
 * @param {number} running
 * @param {number} how
 */
function finish(running, how) {
  try {
    native.finish(running, how);
  } catch {
    // The native half denies from then on.
  }
}

/**
 * Records the word for an error that left the body.
 *
 * @param {number} running
 * @param {unknown} error
 */
function conclude(running, error) {
  finish(running, wordFor(error));
}

/** @param {unknown} error */
function wordFor(error) {
  try {
    if (error instanceof NotExecuted) {
      // It speaks of the innermost action. The ones around it may have acted before.
      if (taken.has(error)) return RAISED;
      taken.add(error);
      return NOT_EXECUTED;
    }
    return types.isNativeError(error) && error.name === "AbortError" ? CANCELLED : RAISED;
  } catch {
    return RAISED;
  }
}

/**
 * Whether what a plain function returned may only be the beginning.
 *
 * @param {unknown} result
 * @returns {boolean}
 */
function defers(result) {
  if (result === null || (typeof result !== "object" && typeof result !== "function")) return false;
  if (types.isPromise(result) || types.isGeneratorObject(result)) return true;
  try {
    return typeof (/** @type {{ then?: unknown }} */ (result).then) === "function";
  } catch {
    return false;
  }
}

/**
 * Leaves an action to end with `result`; what the caller gets in its place.
 *
 * @param {number} running
 * @param {any} result
 * @param {MaybePlace} place
 * @returns {any}
 */
function follow(running, result, place) {
  try {
    if (types.isPromise(result)) return watched(followPromise(running, result), running);
    if (types.isGeneratorObject(result)) return watched(followGenerator(running, result, place), running);
    return watched(likeness(running, result), running);
  } catch {
    // The action goes on all the same, and how it ends cannot be seen.
    finish(running, UNKNOWN);
    return result;
  }
}

/**
 * @param {number} running
 * @param {Promise<any>} promise
 */
function followPromise(running, promise) {
  // What is handed on settles after the outcome was recorded, and a rejection nobody looks at stays one.
  return promise.then(
    (value) => {
      finish(running, RETURNED);
      return value;
    },
    (error) => {
      conclude(running, error);
      throw error;
    },
  );
}

/**
 * @param {number} running
 * @param {any} inner
 * @param {MaybePlace} place
 */
function followGenerator(running, inner, place) {
  const later = typeof inner[Symbol.asyncIterator] === "function";
  return later ? asyncSteps(running, inner, place) : steps(running, inner, place);
}

/**
 * `inner`, which is in its place in a decision chain only while it runs and not while its caller does.
 *
 * @param {number} running
 * @param {Generator<any, any, any>} inner
 * @param {MaybePlace} place
 * @returns {Generator<any, any, any>}
 */
function* steps(running, inner, place) {
  try {
    const result = yield* {
      [Symbol.iterator]() {
        return this;
      },
      next: (/** @type {any} */ value) => at(place, () => inner.next(value)),
      return: (/** @type {any} */ value) => at(place, () => inner.return(value)),
      throw: (/** @type {unknown} */ error) => {
        try {
          return at(place, () => inner.throw(error));
        } catch (out) {
          callersWord(running, error, out);
          throw out;
        }
      },
    };
    finish(running, RETURNED);
    return result;
  } catch (error) {
    conclude(running, error);
    throw error;
  } finally {
    // Left by its caller; after any other end this word comes too late to count.
    finish(running, CANCELLED);
  }
}

/**
 * @param {number} running
 * @param {AsyncGenerator<any, any, any>} inner
 * @param {MaybePlace} place
 * @returns {AsyncGenerator<any, any, any>}
 */
async function* asyncSteps(running, inner, place) {
  try {
    const result = yield* {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: (/** @type {any} */ value) => at(place, () => inner.next(value)),
      return: (/** @type {any} */ value) => at(place, () => inner.return(value)),
      throw: (/** @type {unknown} */ error) =>
        at(place, () => inner.throw(error)).catch((out) => {
          callersWord(running, error, out);
          throw out;
        }),
    };
    finish(running, RETURNED);
    return result;
  } catch (error) {
    conclude(running, error);
    throw error;
  } finally {
    finish(running, CANCELLED);
  }
}

/**
 * A `NotExecuted` that the caller threw in and that came out again speaks of what the caller did.
 *
 * @param {number} running
 * @param {unknown} error
 * @param {unknown} out
 */
function callersWord(running, error, out) {
  if (out === error && out instanceof NotExecuted) finish(running, RAISED);
}

/**
 * @template T
 * @param {MaybePlace} place
 * @param {() => T} act
 * @returns {T}
 */
function at(place, act) {
  return place === undefined ? act() : inPlace(place, act);
}

/**
 * Something with a `then` of its own, which may begin only when that is called: the same, with an eye on how it ends. It was let
 * in once, so it begins once: whoever asks again gets the first settlement.
 *
 * @param {number} running
 * @param {any} inner
 */
function likeness(running, inner) {
  /** @type {Promise<any> | undefined} */
  let settled;
  const settle = () => {
    settled ??= followPromise(
      running,
      new Promise((resolve, reject) => Reflect.apply(inner.then, inner, [resolve, reject])),
    );
    return settled;
  };
  /** @type {any} */
  const outer = new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function" || name === "constructor") return value;
      if (name === "then" || name === "catch" || name === "finally") {
        return (/** @type {any[]} */ ...args) => Reflect.apply(Promise.prototype[name], settle(), args);
      }
      return function (/** @type {any[]} */ ...args) {
        // @ts-expect-error Whatever it is called on.
        const self = this === outer ? target : this;
        const answer = Reflect.apply(value, self, args);
        // Builders hand back themselves.
        return answer === target ? outer : answer;
      };
    },
  });
  return outer;
}

/**
 * What nobody holds any more will not end: its result is unknown.
 *
 * @template {object} T
 * @param {T} result
 * @param {number} running
 * @returns {T}
 */
function watched(result, running) {
  dropped.register(result, running);
  return result;
}

/** Errors whose word an action has taken. */
const taken = new WeakSet();
const dropped = new FinalizationRegistry((/** @type {number} */ running) => finish(running, UNKNOWN));

module.exports = {
  RETURNED,
  RAISED,
  CANCELLED,
  NOT_EXECUTED,
  UNKNOWN,
  finish,
  conclude,
  defers,
  follow,
  steps,
  asyncSteps,
};
