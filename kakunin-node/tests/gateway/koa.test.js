"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const http2 = require("node:http2");
const { describe, test } = require("node:test");

const { bodyParser } = require("@koa/bodyparser");
const Router = require("@koa/router");
const Koa = require("koa");
const mount = require("koa-mount");
const { requireAgent } = require("kakunin-node/koa");

const { CARELESS, SELECTORS, matrix } = require("./matrix.js");
const { Running } = require("../../js/gateway/gateway.js");
const { HOST, PAYMENT, proofOf, send, stand } = require("./stand.js");

async function service(s, ran, prepare = () => {}) {
  const { gateway } = s;
  const app = new Koa();
  app.silent = true;
  app.use(async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      ctx.status = 200;
      ctx.body = { swallowed: String(error) };
    }
  });
  prepare(app);
  const handler = (ctx) => {
    ran.push({ body: ctx.request.body, raw: String(ctx.request.rawBody), caller: ctx.state.caller?.agentId });
    ctx.body = { ok: true };
  };
  const demand = requireAgent("payments:send", SELECTORS, { gateway });
  const router = new (Router.default ?? Router)();
  router.post("/pay", demand, handler);
  router.get("/invoices", requireAgent("read:invoices", {}, { gateway }), handler);
  router.post("/fail", demand, (ctx) => {
    ran.push({ body: ctx.request.body });
    throw new Error("the handler failed");
  });
  router.post("/careless", requireAgent("payments:send", CARELESS, { gateway }), handler);
  app.use(router.routes()).use(router.allowedMethods());
  const below = new Koa();
  below.use(demand);
  below.use((ctx, next) => (ctx.path === "/pay" ? handler(ctx) : next()));
  app.use(mount("/below", below));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port, close: () => server.close() };
}

matrix("koa", service);

describe("koa and its parsers", () => {
  test("a_parser_that_ran_before_and_kept_its_text_is_proven_by_it", async () => {
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) => app.use(bodyParser()));
    const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(
      ran.splice(0).map(({ body }) => body),
      [PAYMENT],
    );
    const other = Buffer.from(JSON.stringify({ ...PAYMENT, amount: "999" }));
    const changed = await send(served.port, { agent: s.agent, json: PAYMENT, signed: { content: other } });
    served.close();
    assert.equal(changed.json.code, "possession.content");
    assert.deepEqual(ran, []);
  });

  test("a_body_that_somebody_read_before_is_refused_as_misconfigured", async () => {
    const [s, ran] = [stand(), []];
    const served = await service(s, ran, (app) =>
      app.use(async (ctx, next) => {
        for await (const part of ctx.req) void part;
        await next();
      }),
    );
    const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
    served.close();
    assert.equal(answer.json.code, "gateway.misconfigured", answer.text);
    assert.deepEqual(ran, []);
  });
});

describe("koa over HTTP/2", () => {
  test("a_stream_that_is_reset_is_cancelled_and_one_that_was_answered_returned", async (t) => {
    const s = stand();
    const words = [];
    for (const word of ["returned", "raised", "cancelled"]) {
      t.mock.method(Running.prototype, word, () => words.push(word));
    }
    let begun;
    const app = new Koa();
    app.silent = true;
    app.use(requireAgent("payments:send", SELECTORS, { gateway: s.gateway }));
    app.use((ctx) => begun(ctx));
    const server = http2.createServer(app.callback()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
    const content = Buffer.from(JSON.stringify(PAYMENT));
    const pay = () => {
      const proof = proofOf(s.agent, { method: "POST", target: "/pay", authority: HOST, content });
      const stream = client.request({
        ":method": "POST",
        ":path": "/pay",
        ":authority": HOST,
        "content-type": "application/json",
        ...Object.fromEntries(proof),
      });
      stream.on("error", () => {});
      stream.end(content);
      return stream;
    };
    try {
      begun = (ctx) => {
        ctx.body = "done";
      };
      const answered = pay().resume();
      const [head] = await once(answered, "response");
      assert.equal(head[":status"], 200);
      await once(answered, "close");
      const running = new Promise((resolve) => {
        begun = (ctx) => new Promise(() => resolve(ctx));
      });
      const reset = pay();
      const { res } = await running;
      assert.equal(words.splice(0)[0], "returned");
      const gone = once(res, "close");
      reset.close(http2.constants.NGHTTP2_CANCEL);
      await gone;
      assert.equal(words[0], "cancelled");
    } finally {
      client.destroy();
      server.close();
    }
  });
});
