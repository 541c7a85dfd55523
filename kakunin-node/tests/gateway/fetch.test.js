"use strict";
// The sending side, against a service that demands proof.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const http = require("node:http");
const { after, before, beforeEach, describe, test } = require("node:test");

const express = require("express");
const { Gateway, chain, guard, runAs } = require("kakunin-node");
const { requireAgent } = require("kakunin-node/express");
const { NotProven, prove, signedFetch } = require("kakunin-node/fetch");
const { noAgent } = require("kakunin-node/testing");

const { SELECTORS } = require("./matrix.js");
const { PAYMENT, SCOPE, stand } = require("./stand.js");

describe("signedFetch", () => {
  let s, server, base, heard;

  before(async () => {
    s = stand();
    const app = express();
    server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const host = `127.0.0.1:${server.address().port}`;
    base = `http://${host}`;
    const gateway = Gateway.open(s.desk, { names: [host] });
    s.clock.advance(11);
    app.use((req, _res, next) => {
      heard.push(req.headers);
      next();
    });
    app.all("/moved", (req, res) => res.redirect(307, req.query.to));
    app.post("/pay", requireAgent("payments:send", SELECTORS, { gateway }), (req, res) => res.json(req.body));
    app.all("/read", requireAgent("read:invoices", {}, { gateway }), (req, res) =>
      res.json({ method: req.method, text: String(req.rawBody), chain: chain.id() ?? null }),
    );
  });
  beforeEach(() => (heard = []));
  after(() => server.close());

  const json = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(PAYMENT),
  };

  test("names_of_a_detached_list_are_proven_to_a_service_that_has_it_not", async () => {
    const vendors = Array.from({ length: 100 }, (_, at) => `vendor-${String(2 * at).padStart(4, "0")}`);
    const party = { for: ["payments:send"], allow: vendors };
    const picky = s.authority.issue({ ...SCOPE, counterparties: [party] }, { name: "picky" });
    const paid = async (options, to = "vendor-0042", headers = {}) => {
      const send = signedFetch(picky, options);
      const body = JSON.stringify({ ...PAYMENT, to });
      const answer = await send(`${base}/pay`, { ...json, headers: { ...json.headers, ...headers }, body });
      return answer.status === 200 ? "paid" : (await answer.json()).code;
    };
    const paying = { action: "payments:send", counterparty: "to" };
    assert.equal(await paid(paying), "paid");
    assert.equal(await paid({}), "scope.names_missing");
    assert.equal(await paid({}, undefined, { "kakunin-names": "x" }), "possession.malformed");
    assert.equal(await paid(paying, undefined, { "kakunin-names": "x" }), "paid");
    assert.equal(await paid({ ...paying, action: "read:invoices" }), "scope.names_missing");
    assert.equal(await paid(paying, "vendor-0043"), "scope.counterparty");
    // Of another name, or of none, nothing is proven.
    assert.equal(await paid({ ...paying, counterparty: () => "vendor-0044" }), "scope.names_missing");
    assert.equal(await paid({ ...paying, counterparty: "to.nobody" }), "scope.names_missing");
    assert.equal(
      await paid({ ...paying, counterparty: [({ body }) => body.to, () => ["vendor-0000"]] }),
      "paid",
    );
    for (const wrong of [
      { counterparty: "to" },
      { action: 7 },
      { ...paying, resource: "" },
      { ...paying, counterpary: "to" },
    ]) {
      assert.throws(() => signedFetch(picky, wrong), TypeError);
    }
    const refused = async (counterparty) => {
      const before = heard.length;
      await assert.rejects(paid({ ...paying, counterparty }), (error) => {
        assert.ok(error instanceof NotProven);
        refused.code = error.code;
        return true;
      });
      assert.equal(heard.length, before);
      return refused.code;
    };
    assert.equal(await refused(() => vendors.slice(0, 40)), "scope.names_missing");
    assert.equal(
      await refused(() => {
        throw new Error("no");
      }),
      "internal",
    );
  });

  test("whatever_fetch_can_send_is_proven_as_it_is_sent", async () => {
    const send = signedFetch(s.agent);
    assert.deepEqual(await (await send(`${base}/pay`, json)).json(), PAYMENT);
    const told = async (input, init) => {
      const answer = await send(input, init);
      assert.equal(answer.status, 200, await answer.clone().text());
      return answer.json();
    };
    assert.equal((await told(`${base}/read`)).method, "GET");
    assert.equal((await told(new URL(`${base}/read?`))).method, "GET");
    assert.equal((await told(`${base}/read?a=b%20c&d=é#part`)).method, "GET");
    assert.equal((await told(new Request(`${base}/read`, { method: "PUT", body: "text" }))).text, "text");
    assert.equal(
      (await told(`${base}/read`, { method: "POST", body: new URLSearchParams({ a: "b" }) })).text,
      "a=b",
    );
    assert.equal(
      (await told(`${base}/read`, { method: "POST", body: new Uint8Array([104, 105]) })).text,
      "hi",
    );
    const parts = new FormData();
    parts.append("a", "b");
    assert.match((await told(`${base}/read`, { method: "POST", body: parts })).text, /name="a"/);
    const body = new ReadableStream({
      start(control) {
        control.enqueue(Buffer.from("in "));
        control.enqueue(Buffer.from("parts"));
        control.close();
      },
    });
    assert.equal((await told(`${base}/read`, { method: "POST", body, duplex: "half" })).text, "in parts");
    assert.equal((await send(`${base}/read`, { method: "HEAD" })).status, 200);
  });

  test("each_call_is_proven_anew_and_fields_of_a_proof_are_nobody_elses", async () => {
    const send = signedFetch(s.agent);
    const stale = Object.fromEntries(
      prove(s.agent, { method: "POST", authority: "else.example", path: "/" }),
    );
    for (let time = 0; time < 2; time += 1) {
      const headers = { ...json.headers, ...stale, "kakunin-chain": "00" };
      assert.equal((await send(`${base}/pay`, { ...json, headers })).status, 200);
    }
  });

  test("no_redirect_is_followed", async () => {
    const send = signedFetch(s.agent);
    const answer = await send(`${base}/moved?to=/pay`, json);
    assert.equal(answer.status, 307);
    assert.equal(answer.headers.get("location"), "/pay");
    assert.equal(heard.length, 1);
    await assert.rejects(send(`${base}/moved?to=/pay`, { ...json, redirect: "error" }), TypeError);
    await assert.rejects(
      send(`${base}/moved?to=/pay`, { ...json, redirect: "follow" }),
      /follows no redirects/,
    );
    assert.equal(heard.length, 2);
    assert.equal((await send(new Request(`${base}/moved?to=/pay`, json))).status, 307);
  });

  test("an_agent_that_may_do_nothing_sends_nothing", async () => {
    const held = s.authority.issue(SCOPE, { name: "held" });
    s.authority.suspend(held);
    await assert.rejects(signedFetch(held)(`${base}/pay`, json), (error) => {
      assert.ok(error instanceof NotProven);
      assert.equal(error.code, "certificate.held");
      return true;
    });
    await assert.rejects(
      noAgent(() => signedFetch()(`${base}/pay`, json)),
      (error) => error instanceof NotProven && error.code === "agent.missing",
    );
    assert.throws(() => signedFetch({}), TypeError);
    assert.deepEqual(heard, []);
  });

  test("the_agent_is_the_one_of_the_context", async () => {
    const send = signedFetch();
    const answer = await runAs(s.agent, () => send(`${base}/read`));
    assert.equal(answer.status, 200);
  });

  test("a_request_in_a_guarded_body_says_what_it_follows_from", async () => {
    const send = signedFetch();
    const ask = guard("read:invoices", {}, async () => (await send(`${base}/read`)).json());
    const [id, there] = await chain(() => runAs(s.agent, async () => [chain.id(), await ask()]));
    assert.match(heard[0]["kakunin-chain"], new RegExp(`^${id};from=[0-9a-f]{64}$`));
    assert.equal(there.chain, id, "the handler runs in the chain of its caller");
  });

  test("with_a_request_that_is_in_no_chain_one_begins", async () => {
    const there = await (await signedFetch(s.agent)(`${base}/read`)).json();
    assert.match(there.chain, /^[0-9a-f]{32}$/);
    assert.equal(heard[0]["kakunin-chain"], undefined);
  });

  test("an_aborted_call_is_an_abort", async () => {
    const control = new AbortController();
    control.abort();
    await assert.rejects(signedFetch(s.agent)(`${base}/read`, { signal: control.signal }), {
      name: "AbortError",
    });
    assert.deepEqual(heard, []);
  });

  test("a_client_that_is_no_fetch_sends_the_fields_itself", async () => {
    const content = Buffer.from(JSON.stringify(PAYMENT));
    const { host } = new URL(base);
    const fields = prove(s.agent, { method: "POST", authority: host, path: "/pay", content });
    const headers = {
      "content-type": "application/json",
      "content-length": content.length,
      ...Object.fromEntries(fields),
    };
    const request = http.request(`${base}/pay`, { method: "POST", headers });
    request.end(content);
    const [answer] = await once(request, "response");
    answer.resume();
    assert.equal(answer.statusCode, 200);
  });
});
