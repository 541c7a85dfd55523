"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { describe, test } = require("node:test");

const { serve } = require("@hono/node-server");
const { Hono } = require("hono");
const { methodOverride } = require("hono/method-override");
const { requireAgent } = require("kakunin-node/hono");

const { CARELESS, SELECTORS, matrix } = require("./matrix.js");
const { HOST, PAYMENT, proofOf, send, stand } = require("./stand.js");

function application(s, ran, prepare = () => {}) {
  const { gateway } = s;
  const app = new Hono();
  app.onError((error, c) => c.json({ swallowed: String(error) }, 200));
  prepare(app);
  const handler = async (c) => {
    const text = await c.req.text();
    ran.push({
      body: text === "" ? undefined : await c.req.json(),
      raw: text,
      caller: c.get("caller")?.agentId,
    });
    return c.json({ ok: true });
  };
  const demand = requireAgent("payments:send", SELECTORS, { gateway });
  app.post("/pay", demand, handler);
  app.get("/invoices", requireAgent("read:invoices", {}, { gateway }), handler);
  app.post("/fail", demand, async (c) => {
    ran.push({ body: await c.req.json() });
    throw new Error("the handler failed");
  });
  app.post("/careless", requireAgent("payments:send", CARELESS, { gateway }), handler);
  const below = new Hono();
  below.use(demand);
  below.post("/pay", handler);
  app.route("/below", below);
  return app;
}

async function service(s, ran, prepare) {
  const server = serve({ fetch: application(s, ran, prepare).fetch, port: 0, hostname: "127.0.0.1" });
  if (!server.listening) await once(server, "listening");
  return { port: server.address().port, close: () => server.close() };
}

matrix("hono", service);

describe("hono by itself", () => {
  test("content_that_was_read_before_through_hono_is_proven", async () => {
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) =>
      app.use(async (c, next) => {
        await c.req.json();
        await next();
      }),
    );
    const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
    served.close();
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(
      ran.map(({ body }) => body),
      [PAYMENT],
    );
  });

  test("content_that_was_read_past_hono_is_refused_as_misconfigured", async () => {
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) =>
      app.use(async (c, next) => {
        await c.req.raw.text();
        await next();
      }),
    );
    const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
    served.close();
    assert.equal(answer.json.code, "gateway.misconfigured", answer.text);
    assert.deepEqual(ran, []);
  });

  test("an_overridden_method_is_the_one_that_is_proven", async () => {
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) => {
      app.use("/pay", methodOverride({ app, header: "x-override" }));
      app.delete("/pay", requireAgent("payments:send", SELECTORS, { gateway: s.gateway }), (c) => {
        ran.push("deleted");
        return c.json({});
      });
    });
    const fields = [["x-override", "DELETE"]];
    const turned = await send(served.port, { agent: s.agent, json: PAYMENT, fields });
    served.close();
    assert.equal(turned.status, 401, turned.text);
    assert.deepEqual(ran, []);
  });

  test("without_a_server_a_request_is_judged_the_same", async () => {
    const [s, ran] = [stand(), []];
    const app = application(s, ran);
    const body = JSON.stringify(PAYMENT);
    const line = { method: "POST", target: "/pay", authority: HOST, content: Buffer.from(body) };
    const ask = (headers) => app.request(`http://${HOST}/pay`, { method: "POST", body, headers });
    const plain = [
      ["host", HOST],
      ["content-type", "application/json"],
    ];
    assert.equal((await ask(plain)).status, 401);
    assert.deepEqual(ran, []);
    const proof = proofOf(s.agent, line);
    assert.equal((await ask([...plain, ...proof])).status, 200);
    assert.equal(ran.splice(0).length, 1);
    assert.equal((await ask([...plain, ...proof])).status, 401);
    const twice = proofOf(s.agent, line);
    assert.equal((await ask([...plain, ...twice, ...twice])).status, 401);
    assert.deepEqual(ran, []);
  });
});
