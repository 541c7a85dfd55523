"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { describe, test } = require("node:test");

const methodOverride = require("method-override");
const multer = require("multer");
const { Gateway } = require("kakunin-node");
const { requireAgent } = require("kakunin-node/express");

const { CARELESS, SELECTORS, matrix } = require("./matrix.js");
const { HOST, PAYMENT, send, stand, written } = require("./stand.js");

function handler(ran) {
  return (req, res) => {
    ran.push({ body: req.body, raw: String(req.rawBody), caller: req.caller?.agentId });
    res.json({ ok: true });
  };
}

async function listen(app) {
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port, close: () => server.close() };
}

for (const version of ["express4", "express"]) {
  const express = require(version);

  /** A service whose middleware answers 200 to every error. */
  const service = (s, ran, prepare = () => {}) => {
    const app = express();
    prepare(app);
    const demand = requireAgent("payments:send", SELECTORS, { gateway: s.gateway });
    app.post("/pay", demand, handler(ran));
    app.get("/invoices", requireAgent("read:invoices", {}, { gateway: s.gateway }), handler(ran));
    const below = express.Router();
    below.post("/pay", demand, handler(ran));
    app.use("/below", below);
    app.post("/fail", demand, (req) => {
      ran.push({ body: req.body });
      throw new Error("the handler failed");
    });
    app.post("/careless", requireAgent("payments:send", CARELESS, { gateway: s.gateway }), handler(ran));
    app.use((error, _req, res, next) => {
      void next;
      res.status(200).json({ swallowed: String(error) });
    });
    return listen(app);
  };

  matrix(version, service);

  describe(`${version} and what else is in the way`, () => {
    const serving = async (prepare, act) => {
      const [s, ran] = [stand(), []];
      const served = await service(s, ran, (app) => prepare(app, s, ran));
      try {
        await act((more) => send(served.port, { agent: s.agent, json: PAYMENT, ...more }), ran, s);
      } finally {
        served.close();
      }
    };

    test("a_parser_that_ran_before_and_kept_nothing_is_refused_as_misconfigured", () =>
      serving(
        (app) => app.use(express.json()),
        async (pay, ran) => {
          const answer = await pay();
          assert.equal(answer.status, 500, answer.text);
          assert.equal(answer.json.code, "gateway.misconfigured");
          assert.match(answer.json.detail, /body parser ran before requireAgent/);
          assert.deepEqual(ran, []);
        },
      ));

    test("octets_that_a_parser_kept_are_proven_and_its_own_reading_is_not_used", () =>
      serving(
        (app) => {
          app.use(express.json({ verify: (req, _res, octets) => (req.rawBody = octets) }));
          app.use((req, _res, next) => {
            req.body = { amount: "1", to: "acme" };
            next();
          });
        },
        async (pay, ran) => {
          assert.equal((await pay()).status, 200);
          assert.deepEqual(
            ran.splice(0).map(({ body }) => body),
            [PAYMENT],
          );
          assert.equal((await pay({ json: { ...PAYMENT, amount: "5000" } })).json.code, "scope.amount");
          assert.deepEqual(ran, []);
        },
      ));

    test("octets_that_were_kept_are_believed_only_by_their_digest", () =>
      serving(
        (app) =>
          app.use((req, _res, next) => {
            req.rawBody = Buffer.from(JSON.stringify({ ...PAYMENT, to: "globex" }));
            next();
          }),
        async (pay, ran) => {
          assert.equal((await pay()).json.code, "possession.content");
          assert.deepEqual(ran, []);
        },
      ));

    test("a_parser_behind_reads_the_same_octets_again", () =>
      serving(
        (app, s, ran) => {
          const demand = requireAgent("read:invoices", {}, { gateway: s.gateway });
          const kept = (req, res) => {
            ran.push(req.body);
            res.json({});
          };
          app.post("/json", demand, express.json(), kept);
          app.post("/text", demand, express.text({ type: "*/*" }), kept);
          app.post("/form", demand, express.urlencoded({ extended: false }), kept);
          app.post("/parts", demand, multer().none(), kept);
        },
        async (pay, ran) => {
          for (const chunked of [false, true]) {
            assert.equal((await pay({ target: "/json", chunked })).status, 200);
            assert.equal(
              (await pay({ target: "/text", chunked, fields: [["content-type", "text/plain"]] })).status,
              200,
            );
            const form = {
              body: Buffer.from("to=acme"),
              fields: [["content-type", "application/x-www-form-urlencoded"]],
            };
            assert.equal((await pay({ target: "/form", chunked, ...form })).status, 200);
            const part = '--b\r\ncontent-disposition: form-data; name="to"\r\n\r\nacme\r\n--b--\r\n';
            const parts = {
              body: Buffer.from(part),
              fields: [["content-type", "multipart/form-data; boundary=b"]],
            };
            assert.equal((await pay({ target: "/parts", chunked, ...parts })).status, 200);
            const [json, text, fields, several] = ran.splice(0);
            assert.deepEqual(json, PAYMENT);
            assert.equal(text, JSON.stringify(PAYMENT));
            assert.deepEqual({ ...fields }, { to: "acme" });
            assert.deepEqual({ ...several }, { to: "acme" });
          }
        },
      ));

    test("a_content_that_a_parser_behind_could_read_in_another_way_is_refused", () =>
      serving(
        (app, s, ran) => {
          const kept = (req, res) => {
            ran.push(req.body);
            res.json({});
          };
          app.post(
            "/judged",
            requireAgent("payments:send", SELECTORS, { gateway: s.gateway }),
            express.json(),
            kept,
          );
          const fixed = { ...SELECTORS, amount: () => "1.00", counterparty: () => "acme" };
          const demand = requireAgent("payments:send", fixed, { gateway: s.gateway });
          app.post("/fixed", demand, express.json(), kept);
        },
        async (pay, ran) => {
          // As UTF-7 it has another amount, behind the one that is judged.
          const body = Buffer.from(
            '{"amount":"1.00","to":"acme","x":"+ACIALA-+ACI-amount+ACIAOgAi-999999.00"}',
          );
          const plain = [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;Charset=UTF-8",
            'application/json ; charset="utf-8" ',
          ];
          for (const type of plain) {
            const answer = await pay({ target: "/judged", body, fields: [["content-type", type]] });
            assert.equal(answer.status, 200, `${type}: ${answer.text}`);
            assert.equal(ran.pop().amount, "1.00");
          }
          const others = [
            "application/json; charset = utf-7",
            "application/json; charset=utf-7",
            'application/json;x=";charset=utf-8;";charset=utf-7',
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset='utf-8'",
            "application/json; charset*=utf-7",
            "application/json; charset=utf-16le",
            "application/json; version=1",
          ].map((type) => [["content-type", type]]);
          const encoded = ["br", "gzip", "deflate", "x-gzip", "identity, br"].map((encoding) => [
            ["content-type", "application/json"],
            ["content-encoding", encoding],
          ]);
          for (const target of ["/judged", "/fixed"]) {
            for (const fields of [...others, ...encoded]) {
              const answer = await pay({ target, body, fields });
              assert.equal(answer.json.code, "request.amount_invalid", `${target} ${fields}`);
            }
          }
          assert.deepEqual(ran, []);
          const same = [
            ["content-type", "application/json"],
            ["content-encoding", "Identity"],
          ];
          assert.equal((await pay({ target: "/judged", fields: same })).status, 200);
        },
      ));

    test("the_query_that_was_judged_is_the_one_that_the_handler_gets", () =>
      serving(
        (app, s, ran) => {
          app.set("query parser", "extended");
          const kept = (req, res) => {
            ran.push({ ...req.query });
            res.json({});
          };
          const { gateway } = s;
          const selectors = {
            amount: (r) => r.query.amount,
            currency: "EUR",
            counterparty: (r) => r.query.to,
          };
          app.post("/query", requireAgent("payments:send", selectors, { gateway }), kept);
          app.post("/free", requireAgent("read:invoices", {}, { gateway }), kept);
        },
        async (pay, ran) => {
          const many = "&a".repeat(998);
          const others = [
            "[amount]=9999.00&amount=1.00&to=acme",
            "amount=1.00&to=acme&%5Bamount%5D=9999.00",
            `[amount]=9999.00&[to]=mallory${many}&amount=1.00&to=acme`,
            `x=1&y=1&z=1${many}&amount=1.00&to=acme`,
            "amount=1.00&amount=9999.00&to=acme",
            "amount=1.00&to=acme&am%6Funt=9999.00",
            "amount=1.00&to=acme&to=mallory",
            "amount=1.00&to=acme#",
          ];
          for (const query of others) {
            const answer = await pay({ target: `/query?${query}` });
            assert.ok(
              ["request.amount_invalid", "request.counterparty_invalid"].includes(answer.json.code),
              `${query}: ${answer.text}`,
            );
          }
          assert.deepEqual(ran, []);
          const judged = await pay({ target: "/query?amount=1.00&to=acme&tag=a&tag=b&x.y=%ff" });
          assert.equal(judged.status, 200, judged.text);
          assert.deepEqual(ran.splice(0), [{ amount: "1.00", to: "acme", tag: ["a", "b"], "x.y": "\ufffd" }]);
          // Where no selector reads it, it is the service's own.
          assert.equal((await pay({ target: "/free?a[b]=1" })).status, 200);
          assert.deepEqual(ran, [{ a: { b: "1" } }]);
        },
      ));

    test("a_part_of_the_service_and_its_route_may_both_demand", () =>
      serving(
        (app, s, ran) => {
          const { gateway } = s;
          app.use("/both", requireAgent("read:invoices", {}, { gateway }));
          app.post("/both/pay", requireAgent("payments:send", SELECTORS, { gateway }), (req, res) => {
            ran.push(req.body);
            res.json({});
          });
        },
        async (pay, ran) => {
          assert.equal((await pay({ target: "/both/pay" })).status, 200);
          assert.deepEqual(ran.splice(0), [PAYMENT]);
          assert.equal((await pay({ target: "/both/pay", json: { ...PAYMENT, to: "mallory" } })).status, 403);
          assert.equal((await pay({ target: "/BOTH/pay/", agent: null })).status, 401);
          assert.deepEqual(ran, []);
        },
      ));

    test("an_overridden_method_is_the_one_that_is_proven", () =>
      serving(
        (app, s, ran) => {
          app.use(methodOverride("x-override"));
          app.delete(
            "/pay",
            requireAgent("payments:send", SELECTORS, { gateway: s.gateway }),
            (_req, res) => {
              ran.push("deleted");
              res.json({});
            },
          );
        },
        async (pay, ran) => {
          const fields = [["x-override", "DELETE"]];
          assert.equal((await pay({ fields })).json.code, "possession.signature");
          assert.deepEqual(ran, []);
          assert.equal((await pay({ fields, signed: { method: "DELETE" } })).status, 200);
          assert.deepEqual(ran, ["deleted"]);
        },
      ));

    test("a_request_that_was_changed_after_its_proof_is_refused", () =>
      serving(
        (app, s) => {
          app.use("/turned", requireAgent("read:invoices", {}, { gateway: s.gateway, onError() {} }));
          app.use("/turned", (req, _res, next) => {
            req.method = "DELETE";
            next();
          });
          app.delete(
            "/turned",
            requireAgent("payments:send", SELECTORS, { gateway: s.gateway, onError() {} }),
            (_req, res) => res.json({ deleted: true }),
          );
        },
        async (pay) => {
          assert.equal((await pay({ target: "/turned" })).status, 503);
        },
      ));
  });
}

describe("a store of used proofs that workers share", () => {
  const express = require("express");
  const worker = async (s, ran, nonces) => {
    const gateway = Gateway.open(s.desk, { names: [HOST], nonces });
    const app = express();
    const demand = requireAgent("payments:send", SELECTORS, { gateway, onError() {} });
    app.post("/pay", demand, handler(ran));
    return listen(app);
  };

  test("a_proof_counts_once_with_all_workers_that_share_a_store", async () => {
    const [s, ran, known] = [stand(), [], new Map()];
    const nonces = async (mark, seconds) => {
      const isNew = !known.has(mark);
      known.set(mark, seconds);
      return isNew;
    };
    // Such a store knows what was used before a worker began, so there is nothing to wait for.
    const [one, other] = [await worker(s, ran, nonces), await worker(s, ran, nonces)];
    const octets = written({ agent: s.agent, json: PAYMENT });
    assert.equal((await send(one.port, octets)).status, 200);
    assert.equal((await send(other.port, octets)).json.code, "possession.replayed");
    assert.equal((await send(one.port, octets)).json.code, "possession.replayed");
    assert.equal((await send(other.port, { agent: s.agent, json: PAYMENT })).status, 200);
    assert.equal((await send(other.port, { agent: null, json: PAYMENT })).json.code, "possession.missing");
    assert.equal(known.size, 2);
    // Of an agent that is denied by its head too: lifted a moment later, its proof is used up.
    const held = written({ agent: s.agent, json: PAYMENT });
    s.authority.suspend(s.agent);
    s.desk.refresh();
    assert.equal((await send(one.port, held)).json.code, "certificate.held");
    assert.equal((await send(other.port, held)).json.code, "possession.replayed");
    s.authority.resume(s.agent);
    s.desk.refresh();
    assert.equal((await send(one.port, held)).json.code, "possession.replayed");
    one.close();
    other.close();
    assert.equal(ran.length, 2);
    assert.equal(known.size, 3);
    for (const [mark, seconds] of known) {
      assert.match(mark, /^[0-9a-f]{64}$/);
      assert.ok(seconds > 60 && seconds <= 180, `${seconds}`);
    }
  });

  test("a_proof_counts_once_with_all_that_share_a_folder", async () => {
    const [s, ran] = [stand(), []];
    const place = fs.mkdtempSync(path.join(os.tmpdir(), "kakunin-"));
    const folder = path.join(place, "nonces");
    const [one, other] = [await worker(s, ran, folder), await worker(s, ran, folder)];
    const pay = async (worker, octets) => {
      const { status, json } = await send(worker.port, octets);
      return status === 200 ? status : json.code;
    };
    // It begins with the first question, and outlives those who share it.
    const fresh = () => written({ agent: s.agent, json: PAYMENT });
    assert.equal(await pay(one, fresh()), "possession.starting");
    s.clock.advance(11);
    const octets = fresh();
    assert.equal(await pay(one, octets), 200);
    assert.equal(await pay(other, octets), "possession.replayed");
    const later = await worker(s, ran, folder);
    assert.equal(await pay(later, octets), "possession.replayed");
    assert.equal(await pay(later, fresh()), 200);
    for (const worker of [one, other, later]) worker.close();
    assert.equal(ran.length, 2);
    for (const nonces of ["", "nonces", "redis://store"]) {
      assert.throws(() => Gateway.open(s.desk, { names: [HOST], nonces }), TypeError);
    }
    assert.throws(() => Gateway.open(s.desk, { names: [HOST], nonces: __filename }), /folder of used proofs/);
    fs.rmSync(place, { recursive: true });
  });

  test("node_lets_no_proof_in_twice_by_a_folder_that_was_made_again_and_uses_none_that_others_write_in", async () => {
    const [s, ran] = [stand(), []];
    const place = fs.mkdtempSync(path.join(os.tmpdir(), "kakunin-nonces-"));
    const folder = path.join(place, "nonces");
    const old = await worker(s, ran, folder);
    const pay = async (served, octets) => {
      const { status, json } = await send(served.port, octets);
      return status === 200 ? status : json.code;
    };
    const fresh = () => written({ agent: s.agent, json: PAYMENT });
    assert.equal(await pay(old, fresh()), "possession.starting");
    s.clock.advance(11);
    const used = fresh();
    assert.equal(await pay(old, used), 200);
    fs.rmSync(folder, { recursive: true });
    assert.equal(await pay(old, fresh()), "internal");
    const made = await worker(s, ran, folder);
    assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
    assert.equal(await pay(made, used), "possession.starting");
    assert.equal(await pay(old, used), "possession.starting");
    s.clock.advance(11);
    assert.equal(await pay(old, used), "possession.starting");
    const octets = fresh();
    assert.equal(await pay(made, octets), 200);
    assert.equal(await pay(old, octets), "possession.replayed");
    for (const worker of [old, made]) worker.close();
    const link = path.join(place, "link");
    fs.symlinkSync(folder, link);
    fs.chmodSync(folder, 0o777);
    for (const nonces of [folder, link]) {
      assert.throws(() => Gateway.open(s.desk, { names: [HOST], nonces }), /folder of used proofs/);
    }
    fs.rmSync(place, { recursive: true });
  });

  test("a_store_that_cannot_say_lets_nobody_in", async () => {
    const [s, ran] = [stand(), []];
    const failing = () => {
      throw new Error("the store is away");
    };
    for (const nonces of [
      failing,
      async () => failing(),
      () => 1,
      () => undefined,
      async () => "OK",
      () => null,
    ]) {
      const served = await worker(s, ran, nonces);
      const answer = await send(served.port, { agent: s.agent, json: PAYMENT });
      served.close();
      assert.equal(answer.status, 503, String(nonces));
      assert.ok(!answer.text.includes("away"), answer.text);
      assert.ok(Number(answer.headers["retry-after"]) > 0);
    }
    assert.throws(() => Gateway.open(s.desk, { names: [HOST], nonces: {} }), TypeError);
    assert.deepEqual(ran, []);
  });
});

describe("a demand that cannot be right", () => {
  test("is_a_type_error_when_the_service_starts", () => {
    const { gateway } = stand();
    const wrong = [
      () => requireAgent("payments:send", SELECTORS, {}),
      () => requireAgent("payments:send", SELECTORS, { gateway: {} }),
      () => requireAgent("payments:send", SELECTORS, { gateway, gatway: 1 }),
      () => requireAgent("", {}, { gateway }),
      () => requireAgent(["payments:send"], {}, { gateway }),
      () => requireAgent("payments:send", { ammount: "amount" }, { gateway }),
      () => requireAgent("payments:send", { amount: "amount", amountMinor: "cents" }, { gateway }),
      () => requireAgent("payments:send", { amount: async (r) => r.body.amount }, { gateway }),
      () => requireAgent("payments:send", { amount: 12 }, { gateway }),
    ];
    for (const declare of wrong) assert.throws(declare, TypeError, String(declare));
  });

  test("a_path_is_one_into_the_proven_content", async () => {
    const [s, ran] = [stand(), []];
    const express = require("express");
    const app = express();
    const selectors = {
      amount: "order.total",
      currency: "order.currency",
      counterparty: (r) => r.params.to,
    };
    app.post("/pay/:to", requireAgent("payments:send", selectors, { gateway: s.gateway }), (req, res) => {
      ran.push(req.params.to);
      res.json({});
    });
    const served = await listen(app);
    const pay = (target, json) => send(served.port, { agent: s.agent, target, json });
    const order = { total: "12.50", currency: "EUR" };
    assert.equal((await pay("/pay/acme", { order })).status, 200);
    assert.equal((await pay("/pay/mallory", { order })).json.code, "scope.counterparty");
    assert.equal(
      (await pay("/pay/acme", { order: { ...order, currency: "USD" } })).json.code,
      "scope.currency",
    );
    assert.equal(
      (await pay("/pay/acme", { order: { total: "12.50" } })).json.code,
      "request.currency_missing",
    );
    assert.equal((await pay("/pay/acme", {})).json.code, "request.amount_missing");
    assert.equal((await pay("/pay/acme", { order: "12.50" })).json.code, "request.amount_invalid");
    served.close();
    assert.deepEqual(ran, ["acme"]);
  });
});
