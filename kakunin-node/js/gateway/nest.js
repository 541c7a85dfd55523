/**
 * Nest, on Express or Fastify. Guards run behind the body parser, so the application keeps the octets:
 * `NestFactory.create(AppModule, { rawBody: true })`.
 */
"use strict";

const { Demand, ask } = require("./ask");
const { arrivalOf, follow, handOnQuery, pairs } = require("./server");

/**
 * A guard and an interceptor in one, for `@UseGuards(agent) @UseInterceptors(agent)`. The guard decides; the interceptor only keeps the
 * chain of the request around the handler. `RequireAgent` is both as one decorator.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function requireAgent(action, selectors = {}, options = {}) {
  const demand = new Demand(action, selectors, options);
  const runs = new WeakMap();
  return {
    /** @param {any} context */
    async canActivate(context) {
      const { HttpException } = common();
      if (context.getType() !== "http")
        throw new TypeError("requireAgent guards HTTP requests and nothing else");
      const [request, response] = [context.switchToHttp().getRequest(), context.switchToHttp().getResponse()];
      const [req, res] = [request.raw ?? request, response.raw ?? response];
      const target = request.originalUrl;
      const kept = request.rawBody ?? req.rawBody;
      const { params, method } = request;
      const { refusal, gone, running, caller, proven } = await ask(
        demand,
        arrivalOf(req, res, { method, target, params, kept, request }),
      );
      if (gone) return false;
      if (refusal) {
        for (const [name, value] of pairs(refusal.fields)) setHeader(response, name, value);
        throw new HttpException(JSON.parse(refusal.problem), refusal.status);
      }
      request.caller = caller;
      if (proven.hasBody) request.body = proven.body;
      handOnQuery(request, proven);
      follow(res, running);
      runs.set(request, running);
      return true;
    },
    /**
     * @param {any} context
     * @param {any} next
     */
    intercept(context, next) {
      const running = runs.get(context.switchToHttp().getRequest());
      if (running === undefined)
        throw new TypeError("requireAgent is a guard first: @UseGuards as well as @UseInterceptors");
      const { Observable } = rxjs();
      return new Observable((/** @type {any} */ subscriber) =>
        running.inside(() => next.handle().subscribe(subscriber)),
      );
    },
  };
}

/**
 * A decorator for a handler or a controller.
 *
 * @param {string} action
 * @param {import("./types").RequestSelectors} selectors
 * @param {Partial<import("./types").RequireAgentOptions>} options
 */
function RequireAgent(action, selectors = {}, options = {}) {
  const agent = requireAgent(action, selectors, options);
  const { UseGuards, UseInterceptors, applyDecorators } = common();
  return applyDecorators(UseGuards(agent), UseInterceptors(agent));
}

/**
 * @param {any} response
 * @param {string} name
 * @param {string} value
 */
function setHeader(response, name, value) {
  if (typeof response.header === "function") response.header(name, value);
  else response.setHeader(name, value);
}

// The application's own copies: this package brings none.
/** @returns {any} */
const common = () => require(/** @type {string} */ ("@nestjs/common"));
/** @returns {any} */
const rxjs = () => require(/** @type {string} */ ("rxjs"));

module.exports = { RequireAgent, requireAgent };
