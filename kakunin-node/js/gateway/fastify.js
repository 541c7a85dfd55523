/** Fastify 5: one hook, `preParsing`, of a route or of a plugin. */
"use strict";

const { Readable } = require("node:stream");

const { NoBody } = require("./body");
const { Demand, ask } = require("./ask");
const { arrivalOf, follow, pairs, passOver } = require("./server");

/**
 * A `preParsing` hook. The content is read and proven before any parser sees it, and Fastify's own parser reads the same octets
 * again.
 *
 * The hook calls back instead of returning a promise: after a refusal nothing goes on, however long hooks of `onSend` take.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  /**
   * @param {any} request
   * @param {any} reply
   * @param {any} payload
   * @param {(error: unknown, payload: Readable) => void} done
   */
  return function requireAgent(request, reply, payload, done) {
    if (typeof done !== "function") {
      throw new TypeError("requireAgent is a preParsing hook: { preParsing: requireAgent(..) }");
    }
    const { raw } = request;
    const arrival = arrivalOf(raw, reply.raw, {
      method: request.method,
      target: request.originalUrl,
      params: request.params,
      request,
    });
    if (payload !== raw) arrival.octets = changed;
    ask(demand, arrival)
      .then((said) => {
        if ("gone" in said) return;
        if ("refusal" in said) return answer(raw, reply, said.refusal, said.unread);
        const { running, caller, proven } = said;
        request.caller = caller;
        request.rawBody = proven.raw;
        follow(reply.raw, running);
        running.inside(() => done(null, again(proven.raw)));
      })
      .catch((error) => {
        // Nobody knows how far it came; nothing behind this may go on from here.
        demand.tell(error);
        reply.raw.destroy();
      });
  };
}

/**
 * The refusal in Fastify's own way, so that its hooks and logs see it.
 *
 * @param {any} raw
 * @param {any} reply
 * @param {import("../native").Refusal} refusal
 * @param {number | undefined} unread
 */
function answer(raw, reply, refusal, unread) {
  if (reply.sent) return;
  const { status, fields, problem } = refusal;
  reply.code(status);
  for (const [name, value] of pairs(fields)) reply.header(name, value);
  if (passOver(raw, unread)) reply.header("connection", "close");
  reply.send(problem);
}

/**
 * @returns {Promise<never>}
 */
async function changed() {
  throw new NoBody(
    "taken",
    "another preParsing hook ran before requireAgent and changed the content; put requireAgent first",
  );
}

/**
 * @param {Buffer} octets
 */
function again(octets) {
  return octets.length === 0 ? Readable.from([]) : Readable.from([octets], { objectMode: false });
}

module.exports = { requireAgent };
