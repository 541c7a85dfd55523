"use strict";
// Ways around a gateway, tried on one framework: whatever is refused, the handler has not run.

const assert = require("node:assert/strict");
const net = require("node:net");
const { after, before, beforeEach, describe, test } = require("node:test");

const { HOST, PAYMENT, SCOPE, exchange, send, stand, written } = require("./stand.js");

/**
 * `start(stand, ran)` serves, with an error handler that answers 200 to whatever fails:
 * `POST /pay` and `GET /invoices`, demanded; `POST /below/pay`, in whatever the framework mounts; `POST /fail`, demanded, whose
 * handler throws; `POST /careless`, demanded, whose selector throws. Every handler pushes onto `ran`, `{ body, raw, caller }`.
 * `parsesFirst`: the framework's own parser is in front, and keeps the octets.
 */
function matrix(framework, start, { parsesFirst = false } = {}) {
  describe(framework, () => {
    const ran = [];
    let s, served;

    before(async () => {
      s = stand();
      served = await start(s, ran);
    });
    beforeEach(() => ran.splice(0));
    after(() => served.close());

    const pay = (more) => send(served.port, { agent: s.agent, json: PAYMENT, ...more });

    /** Refused with one of these codes, and nothing ran. */
    async function refused(answer, status, ...codes) {
      const said = await answer;
      assert.equal(said.status, status, said.text);
      assert.match(said.headers["content-type"], /^application\/problem\+json/);
      assert.equal(said.headers["cache-control"], "no-store");
      assert.ok(codes.includes(said.json.code), said.text);
      assert.equal(said.json.status, status);
      assert.deepEqual(ran, []);
      return said;
    }

    test("a_payment_within_the_leash_runs_with_what_was_proven", async () => {
      const answer = await pay();
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(ran, [{ body: PAYMENT, raw: JSON.stringify(PAYMENT), caller: s.agent.agentId }]);
    });

    test("without_a_proof_nothing_runs_and_the_answer_asks_for_one", async () => {
      const said = await refused(pay({ agent: null }), 401, "possession.missing");
      assert.match(
        said.headers["accept-signature"],
        /^kakunin=\("@method" "@authority" "@path" "@query" "content-digest"/,
      );
    });

    test("a_proof_counts_once", async () => {
      const octets = written({ agent: s.agent, json: PAYMENT });
      const [first] = await exchange(served.port, octets);
      assert.equal(first.status, 200, first.text);
      ran.splice(0);
      await refused(send(served.port, octets), 401, "possession.replayed");
    });

    test("a_proof_for_something_else_proves_nothing", async () => {
      await refused(pay({ signed: { authority: "elsewhere.example" } }), 401, "possession.signature");
      await refused(pay({ host: "elsewhere.example" }), 401, "possession.authority");
      await refused(pay({ signed: { target: "/invoices" } }), 401, "possession.signature");
      await refused(pay({ signed: { target: "/pay?to=acme" } }), 401, "possession.signature");
      await refused(
        pay({ target: "/pay?to=globex", signed: { target: "/pay" } }),
        401,
        "possession.signature",
      );
      await refused(pay({ signed: { method: "PUT" } }), 401, "possession.signature");
      await refused(
        pay({ signed: { content: Buffer.from(JSON.stringify({ ...PAYMENT, to: "globex" })) } }),
        401,
        "possession.content",
      );
      await refused(pay({ signed: { content: Buffer.alloc(0) } }), 401, "possession.content");
    });

    test("what_the_certificate_does_not_allow_is_denied_without_its_limits", async () => {
      const said = await refused(pay({ json: { ...PAYMENT, amount: "1000.01" } }), 403, "scope.amount");
      assert.ok(!said.text.includes("1000.00"), said.text);
      assert.ok(typeof said.json.decision === "string", said.text);
      await refused(pay({ json: { ...PAYMENT, to: "mallory" } }), 403, "scope.counterparty");
      await refused(pay({ json: { ...PAYMENT, to: ["acme", "mallory"] } }), 403, "scope.counterparty");
    });

    test("values_that_cannot_be_read_are_denied_and_never_zero", async () => {
      await refused(pay({ json: { to: "acme" } }), 403, "request.amount_missing");
      await refused(pay({ json: { amount: "12.50" } }), 403, "request.counterparty_missing");
      await refused(pay({ json: { amount: 12.5, to: "acme" } }), 403, "request.amount_invalid");
      await refused(pay({ json: { amount: ["12.50"], to: "acme" } }), 403, "request.amount_invalid");
      await refused(
        pay({ json: { amount: "12.50", to: { name: "acme" } } }),
        403,
        "request.counterparty_invalid",
      );
      const twice = Buffer.from('{"amount":"12.50","to":"mallory","to":"acme"}');
      await refused(pay({ body: twice }), 403, "request.amount_invalid");
      const broken = pay({ body: Buffer.from("{") });
      if (parsesFirst) assert.equal((await broken).status, 400);
      else await refused(broken, 403, "request.amount_invalid");
      const text = [["content-type", "text/plain"]];
      await refused(pay({ fields: text }), 403, "request.amount_invalid");
    });

    test("a_selector_that_throws_denies", async () => {
      await refused(pay({ target: "/careless" }), 403, "request.amount_invalid");
    });

    test("HEAD_and_OPTIONS_are_no_way_around", async () => {
      const get = { agent: s.agent, method: "GET", target: "/invoices" };
      assert.equal((await send(served.port, get)).status, 200);
      assert.equal(ran.length, 1);
      ran.splice(0);
      const head = await send(served.port, { ...get, method: "HEAD", signed: { method: "GET" } });
      assert.notEqual(head.status, 200);
      await send(served.port, { method: "HEAD", target: "/invoices" });
      await send(served.port, { method: "OPTIONS", target: "/pay" });
      await send(served.port, { method: "OPTIONS", target: "*" });
      await send(served.port, { ...get, method: "OPTIONS", target: "/pay" });
      assert.deepEqual(ran, []);
    });

    test("other_spellings_of_a_path_are_no_way_around", async () => {
      const spellings = [
        "/pay/",
        "/PAY",
        "/Pay/",
        "//pay",
        "/./pay",
        "/pay/.",
        "/p%61y",
        "/pay%2f",
        "/pay;x",
        "/pay?",
        `http://${HOST}/pay`,
      ];
      for (const target of spellings) {
        await pay({ target, agent: null });
        await pay({ target, signed: { target: "/pay" }, json: { ...PAYMENT, to: "mallory" } });
        await pay({ target, json: { ...PAYMENT, to: "mallory" } });
        assert.deepEqual(ran, [], target);
      }
    });

    test("a_mounted_part_of_the_service_demands_the_same", async () => {
      await refused(pay({ target: "/below/pay", agent: null }), 401, "possession.missing");
      await refused(pay({ target: "/below/pay", signed: { target: "/pay" } }), 401, "possession.signature");
      const answer = await pay({ target: "/below/pay" });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(ran.length, 1);
    });

    test("fields_that_are_there_twice_are_refused", async () => {
      const doubled = ["signature", "signature-input", "content-digest", "kakunin-certificate-chain"];
      for (const name of doubled) {
        const line = written({ agent: s.agent, json: PAYMENT }).toString("latin1");
        const field = line.split("\r\n").find((text) => text.startsWith(`${name}: `));
        const octets = Buffer.from(line.replace(field, `${field}\r\n${field}`), "latin1");
        const [answer] = await exchange(served.port, octets);
        assert.ok([400, 401, 431].includes(answer.status), `${name}: ${answer.status} ${answer.text}`);
      }
      for (const host of [HOST, "elsewhere.example"]) {
        const answer = await pay({ fields: [["host", host]] });
        assert.ok([400, 401].includes(answer.status), `${answer.status} ${answer.text}`);
      }
      const without = await pay({ host: null, signed: { authority: HOST } });
      assert.ok([400, 401].includes(without.status), `${without.status} ${without.text}`);
      assert.deepEqual(ran, []);
    });

    test("names_of_fields_have_no_case", async () => {
      const octets = written({ agent: s.agent, json: PAYMENT }).toString("latin1");
      const shouted = octets.replace(/^([a-z-]+):/gm, (_, name) => `${name.toUpperCase()}:`);
      const [answer] = await exchange(served.port, Buffer.from(shouted, "latin1"));
      assert.equal(answer.status, 200, answer.text);
      assert.equal(ran.length, 1);
    });

    test("a_chunked_body_is_what_its_chunks_say", async () => {
      const answer = await pay({ chunked: true });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(ran.splice(0), [
        { body: PAYMENT, raw: JSON.stringify(PAYMENT), caller: s.agent.agentId },
      ]);
      const other = { content: Buffer.from(JSON.stringify({ ...PAYMENT, amount: "1" })) };
      await refused(pay({ chunked: true, signed: other }), 401, "possession.content");
    });

    test("content_length_beside_chunks_is_refused", async () => {
      const both = await pay({ chunked: true, fields: [["content-length", "3"]] });
      assert.ok([400, 401].includes(both.status), both.text);
      const twice = await pay({ fields: [["content-length", "1"]] });
      assert.ok([400, 401].includes(twice.status), twice.text);
      assert.deepEqual(ran, []);
    });

    test("requests_in_one_connection_are_judged_one_by_one", async () => {
      const good = () => written({ agent: s.agent, json: PAYMENT, last: false });
      const bad = () => written({ json: PAYMENT, last: false });
      const end = written({ agent: s.agent, json: PAYMENT });
      const all = Buffer.concat([bad(), good(), bad(), good(), end]);
      const heard = await exchange(served.port, all);
      assert.deepEqual(
        heard.map((answer) => answer.status),
        [401, 200, 401, 200, 200],
      );
      assert.equal(ran.length, 3);
    });

    test("a_body_over_the_limit_is_not_read", async () => {
      const body = Buffer.from(JSON.stringify({ ...PAYMENT, memo: "x".repeat(1024 * 1024) }));
      await refused(pay({ body }), 413, "request.too_large");
      await refused(pay({ body, chunked: true }), 413, "request.too_large");
    });

    // A body that never ends: who waits for it has no answer.
    test("of_whoever_proves_nothing_or_is_revoked_no_body_is_read", { skip: parsesFirst }, async () => {
      const endless = [(octets) => octets.subarray(0, -5), (octets) => octets.subarray(0, -1)];
      const revoked = s.authority.issue(SCOPE, { name: "revoked" });
      for (const [at, cut] of endless.entries()) {
        const begun = (agent) => cut(written({ agent, json: PAYMENT, chunked: at === 0 }));
        const late = begun(revoked);
        if (at === 0) {
          s.authority.suspend(revoked);
          s.desk.refresh();
          const said = await refused(send(served.port, late), 403, "certificate.held");
          assert.ok(typeof said.json.decision === "string", said.text);
          await refused(send(served.port, late), 401, "possession.replayed");
          s.authority.resume(revoked);
          s.desk.refresh();
        } else {
          s.authority.revoke(revoked);
          s.desk.refresh();
          const said = await refused(send(served.port, late), 403, "certificate.revoked");
          assert.ok(typeof said.json.decision === "string", said.text);
        }
        await refused(send(served.port, begun(null)), 401, "possession.missing");
        await refused(send(served.port, begun(stand().agent)), 401, "certificate.untrusted");
      }
    });

    test("a_body_within_the_limit_is_read_whole", async () => {
      const json = { ...PAYMENT, memo: "x".repeat(900_000) };
      assert.equal((await pay({ json })).status, 200);
      assert.equal((await pay({ json, chunked: true })).status, 200);
      assert.deepEqual(
        ran.map(({ body }) => body.memo.length),
        [900_000, 900_000],
      );
    });

    test("a_request_that_ends_early_runs_nothing", async () => {
      for (const chunked of [false, true]) {
        const octets = written({ agent: s.agent, json: PAYMENT, chunked });
        await new Promise((resolve) => {
          const socket = net.connect(served.port, "127.0.0.1", () =>
            socket.write(octets.subarray(0, -4), () => socket.destroy()),
          );
          socket.on("close", resolve);
        });
      }
      // Whatever was sent first was looked at before this is answered.
      await refused(pay({ agent: null }), 401, "possession.missing");
    });

    test("an_error_in_a_handler_is_the_handlers_and_a_swallowing_error_handler_lets_nothing_in", async () => {
      assert.equal(
        (await pay({ target: "/fail" })).status,
        200,
        "the error handler of this service answers 200",
      );
      assert.equal(ran.length, 1);
      ran.splice(0);
      await refused(pay({ target: "/fail", agent: null }), 401, "possession.missing");
    });

    test("who_is_held_or_revoked_meanwhile_or_of_another_owner_is_refused", async () => {
      const { authority } = s;
      const other = authority.issue(SCOPE, { name: "other" });
      // An agent that knows of it proves nothing any more, so these were proven before.
      const [first, second, third] = [1, 2, 3].map(() => written({ agent: other, json: PAYMENT }));
      authority.suspend(other);
      s.desk.refresh();
      await refused(send(served.port, first), 403, "certificate.held");
      authority.resume(other);
      s.desk.refresh();
      assert.equal((await send(served.port, second)).status, 200);
      ran.splice(0);
      authority.revoke(other);
      s.desk.refresh();
      await refused(send(served.port, third), 403, "certificate.revoked");
      const stranger = stand();
      await refused(pay({ agent: stranger.agent }), 401, "certificate.untrusted");
    });

    test("an_expired_certificate_and_an_old_proof_are_refused", async () => {
      const late = stand();
      const ended = late.authority.issue(SCOPE, { name: "brief", days: 1 });
      const served = await start(late, ran);
      const old = written({ agent: late.agent, json: PAYMENT });
      late.clock.advance(61);
      await refused(send(served.port, old), 401, "possession.created");
      // What it signed half a minute before its certificate ended; certificates begin a minute early.
      late.clock.advance(24 * 3600 - 61 - 80);
      const last = written({ agent: ended, json: PAYMENT });
      late.clock.advance(30);
      await refused(send(served.port, last), 401, "certificate.expired");
      served.close();
    });
  });

  describe(`${framework}, where the gateway's own agent is no good`, () => {
    test("a_gateway_whose_own_agent_is_held_lets_nobody_in", async () => {
      const ran = [];
      const s = stand();
      const served = await start(s, ran);
      s.authority.suspend(s.desk);
      s.desk.refresh();
      const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
      served.close();
      assert.equal(answer.status, 503, answer.text);
      assert.ok(Number(answer.headers["retry-after"]) > 0);
      assert.deepEqual(ran, []);
    });
  });
}

/** A payment by its JSON content. */
const SELECTORS = { amount: (r) => r.body.amount, currency: "EUR", counterparty: (r) => r.body.to };
const CARELESS = { ...SELECTORS, amount: (r) => r.body.order.total };

module.exports = { CARELESS, SELECTORS, matrix };
