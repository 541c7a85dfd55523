"use strict";

require("reflect-metadata");

const { describe, test } = require("node:test");
const assert = require("node:assert/strict");

const { Catch, Controller, Get, HttpCode, Module, Post, Req } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { FastifyAdapter } = require("@nestjs/platform-fastify");
const { RequireAgent } = require("kakunin-node/nest");

const { CARELESS, SELECTORS, matrix } = require("./matrix.js");
const { PAYMENT, send, stand } = require("./stand.js");

/** A controller without a compiler: decorators are functions. */
function controller(prefix, gateway, methods) {
  class Desk {}
  for (const [name, [verb, path, action, selectors, body]] of Object.entries(methods)) {
    const descriptor = { value: (request) => body(request), configurable: true, writable: true };
    Object.defineProperty(Desk.prototype, name, descriptor);
    verb(path)(Desk.prototype, name, descriptor);
    HttpCode(200)(Desk.prototype, name, descriptor);
    RequireAgent(action, selectors, { gateway })(Desk.prototype, name, descriptor);
    Req()(Desk.prototype, name, 0);
  }
  Controller(prefix)(Desk);
  return Desk;
}

async function service(s, ran, { rawBody = true, adapter } = {}) {
  const { gateway } = s;
  const handler = (req) => {
    ran.push({ body: req.body, raw: String(req.rawBody ?? ""), caller: req.caller?.agentId });
    return { ok: true };
  };
  const failing = (req) => {
    ran.push({ body: req.body });
    throw new Error("the handler failed");
  };
  const root = controller("", gateway, {
    pay: [Post, "pay", "payments:send", SELECTORS, handler],
    invoices: [Get, "invoices", "read:invoices", {}, handler],
    fail: [Post, "fail", "payments:send", SELECTORS, failing],
    careless: [Post, "careless", "payments:send", CARELESS, handler],
  });
  const below = controller("below", gateway, { pay: [Post, "pay", "payments:send", SELECTORS, handler] });
  class App {}
  Module({ controllers: [root, below] })(App);
  const options = { rawBody, logger: false, abortOnError: false };
  const app = await (adapter ? NestFactory.create(App, adapter, options) : NestFactory.create(App, options));
  if (rawBody && adapter) {
    app.useBodyParser("application/json", { bodyLimit: 2 << 20 });
    // Fastify's own parser of text keeps no octets.
    app.useBodyParser("text/plain", {}, (_request, body, done) => done(null, String(body)));
  } else if (rawBody) {
    app.useBodyParser("json", { limit: "2mb" });
  }
  // Answers 200 to whatever the handlers throw, and leaves Nest's own exceptions to Nest.
  class Swallow {
    catch(error, host) {
      const response = host.switchToHttp().getResponse();
      const answer = (status, body) =>
        adapter ? response.code(status).send(body) : response.status(status).json(body);
      if (typeof error.getStatus === "function") return answer(error.getStatus(), error.getResponse());
      return answer(200, { swallowed: String(error) });
    }
  }
  Catch()(Swallow);
  app.useGlobalFilters(new Swallow());
  await app.listen(0, "127.0.0.1");
  return { port: app.getHttpServer().address().port, close: () => app.close() };
}

matrix("nest", service, { parsesFirst: true });

const onFastify = (s, ran, options) => service(s, ran, { ...options, adapter: new FastifyAdapter() });
matrix("nest on fastify", onFastify, { parsesFirst: true });

describe("nest and its parser", () => {
  test("without_the_octets_of_the_content_it_is_refused_as_misconfigured", async () => {
    for (const nest of [service, onFastify]) {
      const [s, ran] = [stand(), []];
      const served = await nest(s, ran, { rawBody: false });
      const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
      served.close();
      assert.equal(answer.json.code, "gateway.misconfigured", answer.text);
      assert.deepEqual(ran, []);
    }
  });
});
