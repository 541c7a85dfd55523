"use strict";
// Route handlers as Next calls them: with a `Request`, by a function for each method.

const assert = require("node:assert/strict");
const { describe, test } = require("node:test");

const { requireAgent } = require("kakunin-node/next");

const { CARELESS, SELECTORS } = require("./matrix.js");
const { HOST, PAYMENT, SCOPE, proofOf, stand } = require("./stand.js");

function route(s, ran, selectors = SELECTORS) {
  return requireAgent("payments:send", selectors, { gateway: s.gateway })(
    async (request, { caller, params }) => {
      ran.push({ body: await request.json(), caller: caller?.agentId, params: await params });
      return Response.json({ ok: true });
    },
  );
}

function request(
  s,
  { agent = s.agent, json = PAYMENT, target = "/pay", fields = [], signed = {}, method = "POST" } = {},
) {
  const body = JSON.stringify(json);
  const proof = agent
    ? proofOf(agent, { method, target, authority: HOST, content: Buffer.from(body), ...signed })
    : [];
  const headers = [["host", HOST], ["content-type", "application/json"], ...proof, ...fields];
  // The address that Next makes of its own settings; the request's is in its fields.
  return new Request(`http://localhost:3000${target}`, { method, headers, body });
}

async function refused(ran, answer, status, code) {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(JSON.parse(text).code, code);
  assert.deepEqual(ran, []);
}

describe("next", () => {
  test("a_route_handler_runs_for_whoever_may_and_reads_its_content_again", async () => {
    const [s, ran] = [stand(), []];
    const answer = await route(s, ran)(request(s), { params: Promise.resolve({ to: "acme" }) });
    assert.equal(answer.status, 200);
    assert.deepEqual(ran, [{ body: PAYMENT, caller: s.agent.agentId, params: { to: "acme" } }]);
  });

  test("a_route_handler_never_runs_for_whoever_may_not", async () => {
    const [s, ran] = [stand(), []];
    const handle = route(s, ran);
    const unproven = await handle(request(s, { agent: null }), {});
    assert.match(unproven.headers.get("accept-signature"), /^kakunin=/);
    await refused(ran, unproven, 401, "possession.missing");
    await refused(
      ran,
      await handle(request(s, { signed: { authority: "else.example" } }), {}),
      401,
      "possession.signature",
    );
    await refused(
      ran,
      await handle(request(s, { signed: { method: "PUT" } }), {}),
      401,
      "possession.signature",
    );
    await refused(
      ran,
      await handle(request(s, { signed: { target: "/pay/" } }), {}),
      401,
      "possession.signature",
    );
    await refused(
      ran,
      await handle(request(s, { target: "/pay?x", signed: { target: "/pay" } }), {}),
      401,
      "possession.signature",
    );
    await refused(
      ran,
      await handle(request(s, { signed: { content: Buffer.from("{}") } }), {}),
      401,
      "possession.content",
    );
    await refused(
      ran,
      await handle(request(s, { fields: [["host", HOST]] }), {}),
      401,
      "possession.malformed",
    );
    await refused(
      ran,
      await handle(request(s, { json: { ...PAYMENT, to: "mallory" } }), {}),
      403,
      "scope.counterparty",
    );
    await refused(ran, await route(s, ran, CARELESS)(request(s), {}), 403, "request.amount_invalid");
    const twice = request(s);
    const again = twice.clone();
    assert.equal((await handle(twice, {})).status, 200);
    ran.splice(0);
    await refused(ran, await handle(again, {}), 401, "possession.replayed");
    const revoked = s.authority.issue(SCOPE, { name: "revoked" });
    const late = request(s, { agent: revoked });
    s.authority.revoke(revoked);
    s.desk.refresh();
    await refused(ran, await handle(late, {}), 403, "certificate.revoked");
  });

  // Whoever overheard it waits until its proof is forgotten.
  test("a_head_that_waited_too_long_for_its_content_proves_nothing_any_more", async () => {
    const [s, ran] = [stand(), []];
    const first = request(s);
    const content = await first.clone().arrayBuffer();
    const { url, method, headers } = first;
    const body = new ReadableStream(
      {
        pull(controller) {
          s.clock.advance(61);
          controller.enqueue(new Uint8Array(content));
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const waits = new Request(url, { method, headers, body, duplex: "half" });
    assert.equal((await route(s, ran)(first, {})).status, 200);
    ran.splice(0);
    await refused(ran, await route(s, ran)(waits, {}), 401, "possession.created");
  });

  test("content_over_the_limit_or_read_before_is_refused", async () => {
    const [s, ran] = [stand({ options: { maxBody: 100 } }), []];
    const handle = route(s, ran);
    const large = request(s, { json: { ...PAYMENT, memo: "x".repeat(200) } });
    await refused(ran, await handle(large, {}), 413, "request.too_large");
    const read = request(s);
    await read.text();
    await refused(ran, await handle(read, {}), 500, "gateway.misconfigured");
    s.authority.suspend(s.desk);
    s.desk.refresh();
    const answer = await handle(request(s), {});
    assert.ok(Number(answer.headers.get("retry-after")) > 0);
    await refused(ran, answer, 503, "gateway.not_good");
  });

  test("an_error_of_the_handler_is_thrown_on", async () => {
    const s = stand();
    const handle = requireAgent("payments:send", SELECTORS, { gateway: s.gateway })(() => {
      throw new RangeError("the handler failed");
    });
    await assert.rejects(handle(request(s), {}), RangeError);
  });
});
