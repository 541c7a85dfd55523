"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const http2 = require("node:http2");
const { setTimeout: wait } = require("node:timers/promises");
const { describe, test } = require("node:test");

const fastify = require("fastify");
const { requireAgent } = require("kakunin-node/fastify");

const { matrix, SELECTORS, CARELESS } = require("./matrix.js");
const { HOST, PAYMENT, proofOf, send, stand } = require("./stand.js");

async function service(s, ran, prepare = () => {}) {
  const app = fastify();
  const { gateway } = s;
  const handler = async (request) => {
    ran.push({ body: request.body, raw: String(request.rawBody), caller: request.caller?.agentId });
    return { ok: true };
  };
  app.setErrorHandler((error, _request, reply) => reply.code(200).send({ swallowed: String(error) }));
  // Whoever sends takes its time; nothing may go on meanwhile.
  app.addHook("onSend", async (_request, _reply, payload) => {
    await wait(5);
    return payload;
  });
  await prepare(app);
  const demand = () => requireAgent("payments:send", SELECTORS, { gateway });
  app.post("/pay", { preParsing: demand() }, handler);
  app.get("/invoices", { preParsing: requireAgent("read:invoices", {}, { gateway }) }, handler);
  app.post("/fail", { preParsing: demand() }, async (request) => {
    ran.push({ body: request.body });
    throw new Error("the handler failed");
  });
  app.post("/careless", { preParsing: requireAgent("payments:send", CARELESS, { gateway }) }, handler);
  await app.register(
    async (below) => {
      below.addHook("preParsing", demand());
      below.post("/pay", handler);
    },
    { prefix: "/below" },
  );
  await app.listen({ port: 0, host: "127.0.0.1" });
  return { port: app.server.address().port, close: () => app.close() };
}

matrix("fastify", service);

describe("fastify and its hooks", () => {
  test("a_demand_in_a_later_hook_is_refused_and_nothing_runs", async () => {
    const [s, ran] = [stand(), []];
    const demand = requireAgent("payments:send", SELECTORS, { gateway: s.gateway });
    const served = await service(s, ran, (app) => {
      app.post("/late", { preHandler: demand }, async () => ran.push("late"));
      app.post("/early", { onRequest: demand }, async () => ran.push("early"));
    });
    for (const target of ["/late", "/early"]) {
      await send(served.port, { agent: s.agent, json: PAYMENT, target });
      await send(served.port, { agent: null, json: PAYMENT, target });
    }
    served.close();
    assert.deepEqual(ran, []);
  });

  test("content_that_an_earlier_hook_changed_is_refused_as_misconfigured", async () => {
    const { Readable } = require("node:stream");
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) => {
      app.addHook("preParsing", async () => Readable.from([JSON.stringify({ ...PAYMENT, amount: "999" })]));
    });
    const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
    served.close();
    assert.equal(answer.json.code, "gateway.misconfigured", answer.text);
    assert.deepEqual(ran, []);
  });

  test("an_encapsulated_plugin_and_its_route_may_both_demand", async () => {
    const [s, ran] = [stand(), []];
    const { gateway } = s;
    const served = await service(s, ran, async (app) => {
      await app.register(async (inner) => {
        inner.addHook("preParsing", requireAgent("read:invoices", {}, { gateway }));
        const route = { preParsing: requireAgent("payments:send", SELECTORS, { gateway }) };
        inner.post("/both", route, async (request) => ran.push(request.body));
      });
    });
    const allowed = await send(served.port, { agent: s.agent, json: PAYMENT, target: "/both" });
    assert.equal(allowed.status, 200, allowed.text);
    assert.deepEqual(ran.splice(0), [PAYMENT]);
    const json = { ...PAYMENT, to: "mallory" };
    const denied = await send(served.port, { agent: s.agent, json, target: "/both" });
    served.close();
    assert.equal(denied.status, 403, denied.text);
    assert.deepEqual(ran, []);
  });

  test("over_HTTP_2_the_authority_of_the_request_is_the_one_that_is_proven", async () => {
    const [s, ran] = [stand(), []];
    const app = fastify({ http2: true });
    const preParsing = requireAgent("payments:send", SELECTORS, { gateway: s.gateway });
    app.post("/pay", { preParsing }, async (request) => {
      ran.push(request.body);
      return { ok: true };
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    const session = http2.connect(`http://127.0.0.1:${app.server.address().port}`);
    const content = Buffer.from(JSON.stringify(PAYMENT));
    const pay = async (authority, more = {}, signed = HOST) => {
      const proof = proofOf(s.agent, { method: "POST", target: "/pay", authority: signed, content });
      const head = {
        ":method": "POST",
        ":path": "/pay",
        ":authority": authority,
        "content-type": "application/json",
      };
      const stream = session.request({ ...head, ...Object.fromEntries(proof), ...more });
      stream.end(content);
      const [headers] = await once(stream, "response");
      const parts = [];
      for await (const part of stream) parts.push(part);
      return { status: headers[":status"], text: Buffer.concat(parts).toString() };
    };
    assert.equal((await pay("else.example")).status, 401);
    assert.equal((await pay(HOST, { host: "else.example" })).status, 401);
    assert.equal((await pay(HOST, {}, "else.example")).status, 401);
    assert.equal((await pay(HOST, { signature: "kakunin=:AAAA:" })).status, 401);
    assert.deepEqual(ran, []);
    const allowed = await pay(HOST);
    session.close();
    await app.close();
    assert.equal(allowed.status, 200, allowed.text);
    assert.deepEqual(ran, [PAYMENT]);
  });
});
