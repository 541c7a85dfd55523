/** Hono on its Node server, and by itself. */
"use strict";

const { NoBody, bodyOfRequest, withBody } = require("./body");
const { Demand, ask } = require("./ask");
const { arrivalOfRequest, responseOf, run } = require("./fetched");
const { arrivalOf } = require("./server");

/**
 * Middleware. The caller is `c.get("caller")`; the content can be read again behind it.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  /**
   * @param {any} c
   * @param {() => Promise<unknown>} next
   */
  return async function requireAgent(c, next) {
    const { refusal, gone, running, caller, proven } = await ask(demand, arrivalOfContext(c));
    if (gone) return new Response(null, { status: 400 });
    if (refusal) return responseOf(refusal, c.req.method);
    c.set("caller", caller);
    c.set("rawBody", proven.raw);
    c.req.raw = withBody(c.req.raw, proven.raw);
    c.req.bodyCache = {};
    await run(running, c.req.raw.signal, async () => {
      await next();
      return c.error ? { status: 500 } : c.res;
    });
  };
}

/**
 * The head comes from the server's own request where there is one; the content through Hono, which may have read it before.
 *
 * @param {any} c
 * @returns {import("./types").Arrival}
 */
function arrivalOfContext(c) {
  const { incoming, outgoing } = c.env ?? {};
  const seen = { method: c.req.method, params: c.req.param(), request: c.req };
  const arrival =
    incoming?.rawHeaders && outgoing
      ? arrivalOf(incoming, outgoing, seen)
      : { ...arrivalOfRequest(c.req.raw, seen), key: c };
  arrival.octets = (limit) => contentOf(c, limit);
  return arrival;
}

/**
 * @param {any} c
 * @param {number} limit
 * @returns {Promise<Buffer>}
 */
async function contentOf(c, limit) {
  const { arrayBuffer, text } = c.req.bodyCache;
  const kept = await (arrayBuffer ?? text);
  if (kept === undefined) return bodyOfRequest(c.req.raw, limit);
  const octets = Buffer.from(kept);
  if (octets.length > limit)
    throw new NoBody("over", `the content has ${octets.length} octets; at most ${limit} are read`);
  return octets;
}

module.exports = { requireAgent };
