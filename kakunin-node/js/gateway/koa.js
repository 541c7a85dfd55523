/** Koa 2 and 3. */
"use strict";

const { Demand, ask } = require("./ask");
const { arrivalOf, follow, pairs, passOver } = require("./server");

/**
 * Middleware. A refusal is the answer: nothing is thrown that a handler of errors could swallow.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  /**
   * @param {any} ctx
   * @param {() => Promise<unknown>} next
   */
  return async function requireAgent(ctx, next) {
    const { req, res } = ctx;
    const kept = ctx.request.rawBody ?? req.rawBody;
    const arrival = arrivalOf(req, res, {
      method: ctx.method,
      target: ctx.originalUrl,
      params: ctx.params,
      kept,
      request: ctx.request,
    });
    const { refusal, unread, gone, running, caller, proven } = await ask(demand, arrival);
    if (gone) return;
    if (refusal) return answer(ctx, refusal, unread);
    ctx.state.caller = caller;
    ctx.request.rawBody = proven.raw;
    if (proven.hasBody) ctx.request.body = proven.body;
    follow(res, running);
    await running.inside(next);
  };
}

/**
 * @param {any} ctx
 * @param {import("../native").Refusal} refusal
 * @param {number | undefined} unread
 */
function answer(ctx, refusal, unread) {
  const { status, fields, problem } = refusal;
  ctx.status = status;
  ctx.body = problem;
  for (const [name, value] of pairs(fields)) ctx.set(name, value);
  if (passOver(ctx.req, unread)) ctx.set("connection", "close");
}

module.exports = { requireAgent };
