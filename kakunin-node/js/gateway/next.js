/** Route handlers of Next, in its Node runtime; the edge runtime loads no native modules. */
"use strict";

const { withBody } = require("./body");
const { Demand, ask } = require("./ask");
const { arrivalOfRequest, responseOf, run } = require("./fetched");

/**
 * Wraps a route handler: `export const POST = requireAgent("payments:send", {..}, { gateway })(async (request, context) => ..)`.
 * The handler gets the request with its content unread, and `context.caller`.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  /** @param {(request: any, context: any) => Response | Promise<Response>} handler */
  return (handler) => {
    if (typeof handler !== "function")
      throw new TypeError("requireAgent(..)(handler): the handler is a function");
    /**
     * @param {Request} request
     * @param {any} context
     */
    return async function requireAgent(request, context) {
      const params = await context?.params;
      const { refusal, gone, running, caller, proven } = await ask(
        demand,
        arrivalOfRequest(request, { params }),
      );
      if (gone) return new Response(null, { status: 400 });
      if (refusal) return responseOf(refusal, request.method);
      const again = withBody(request, proven.raw);
      return run(running, request.signal, () => handler(again, { ...context, caller }));
    };
  };
}

module.exports = { requireAgent };
