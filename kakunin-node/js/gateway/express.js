/** Express 4 and 5, and whatever else calls `(req, res, next)`. */
"use strict";

const { Demand, ask } = require("./ask");
const { arrivalOf, follow, handOnQuery, refuse } = require("./server");

/**
 * Middleware that lets a request on whose sender proves to be an agent that may do this.
 *
 * A refusal is answered here and never handed to `next`: an error handler that swallows it could go on to the route.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  /**
   * @param {any} req
   * @param {any} res
   * @param {(error?: unknown) => void} next
   */
  return function requireAgent(req, res, next) {
    // The whole target, also below a router that is mounted somewhere.
    const arrival = arrivalOf(req, res, { target: req.originalUrl, params: req.params });
    ask(demand, arrival)
      .then((answer) => {
        if ("gone" in answer) return;
        if ("refusal" in answer) return refuse(req, res, answer.refusal, answer.unread);
        const { running, caller, proven } = answer;
        req.caller = caller;
        req.rawBody = proven.raw;
        if (proven.hasBody) req.body = proven.body;
        handOnQuery(req, proven);
        follow(res, running);
        running.inside(next);
      })
      .catch((error) => {
        // Nobody knows how far it came; nothing behind this may go on from here.
        demand.tell(error);
        res.destroy();
      });
  };
}

module.exports = { requireAgent };
