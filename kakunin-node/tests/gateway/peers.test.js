"use strict";
// Callers that sign nothing: by the client certificate of a connection, by a proxy's word, by a serial number. None of them counts
// unless the deployer says so.

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { X509Certificate } = require("node:crypto");
const { once } = require("node:events");
const fs = require("node:fs");
const https = require("node:https");
const os = require("node:os");
const path = require("node:path");
const { after, before, beforeEach, describe, test } = require("node:test");

const express = require("express");
const { Gateway, chain } = require("kakunin-node");
const { requireAgent } = require("kakunin-node/express");
const { FakeClock, openAgent } = require("kakunin-node/testing");

const { SELECTORS } = require("./matrix.js");
const { HOST, PAYMENT, SCOPE, send } = require("./stand.js");

const CLI = process.env.KAKUNIN_CLI;

describe("callers that sign nothing", { skip: CLI ? false : "KAKUNIN_CLI is not set" }, () => {
  let place, desk, clock;
  let callers = [];
  const servers = [];

  before(() => {
    place = fs.mkdtempSync(path.join(os.tmpdir(), "kakunin-"));
    const scope = path.join(place, "scope.json");
    fs.writeFileSync(scope, JSON.stringify(SCOPE));
    for (const home of ["ours", "theirs"]) {
      const run = (...args) =>
        execFileSync(CLI, [...args, "--home", path.join(place, home)], {
          stdio: ["ignore", "pipe", "ignore"],
        });
      run("init");
      for (const name of home === "ours" ? ["desk", "billing"] : ["stranger"]) {
        run("agent", "create", name, "--scope", scope, "--out", path.join(place, name));
      }
      if (home === "ours") run("crl", "--out", path.join(place, "lists.pem"));
    }
    clock = new FakeClock();
    desk = openAgent(path.join(place, "desk"), { clock, lists: path.join(place, "lists.pem") });
  });
  beforeEach(() => {
    callers = [];
  });
  after(() => {
    for (const server of servers) server.close();
    if (place) fs.rmSync(place, { recursive: true });
  });

  const papers = (name, file) => fs.readFileSync(path.join(place, name, file));

  async function serve(options, listen = (app) => app.listen(0, "127.0.0.1")) {
    const gateway = Gateway.open(desk, { names: [HOST], ...options });
    clock.advance(11);
    const app = express();
    app.post("/pay", requireAgent("payments:send", SELECTORS, { gateway }), (req, res) => {
      callers.push({ ...req.caller, chain: chain.id() });
      res.json({ ok: true });
    });
    const server = listen(app);
    servers.push(server);
    await once(server, "listening");
    return server.address().port;
  }

  const overTls = (app) => {
    const own = { key: papers("desk", "key.pem"), cert: papers("desk", "agent.pem") };
    return https
      .createServer({ ...own, requestCert: true, rejectUnauthorized: false }, app)
      .listen(0, "127.0.0.1");
  };

  async function payOverTls(port, name) {
    const chained = name && Buffer.concat([papers(name, "agent.pem"), papers(name, "chain.pem")]);
    const client = name ? { key: papers(name, "key.pem"), cert: chained } : {};
    const request = https.request({
      ...client,
      port,
      host: "127.0.0.1",
      path: "/pay",
      method: "POST",
      rejectUnauthorized: false,
      agent: false,
      headers: { host: HOST, "content-type": "application/json" },
    });
    request.end(JSON.stringify(PAYMENT));
    const [answer] = await once(request, "response");
    const parts = [];
    for await (const part of answer) parts.push(part);
    return { status: answer.statusCode, json: JSON.parse(Buffer.concat(parts).toString()) };
  }

  test("a_client_certificate_counts_only_where_it_is_said_to", async () => {
    const without = await serve({}, overTls);
    assert.equal((await payOverTls(without, "billing")).json.code, "possession.missing");
    const counted = await serve({ tls: true }, overTls);
    assert.equal((await payOverTls(counted, undefined)).json.code, "possession.missing");
    assert.equal((await payOverTls(counted, "stranger")).json.code, "certificate.untrusted");
    assert.deepEqual(callers, []);
    const answer = await payOverTls(counted, "billing");
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    assert.equal(callers[0].possession, "tls");
    assert.match(callers[0].chain, /^[0-9a-f]{32}$/, "a chain begins with a request that is in none");
  });

  test("where_the_field_of_the_proxies_is_named_no_other_is_looked_at", async () => {
    const leaf = new X509Certificate(papers("billing", "agent.pem")).raw;
    const issuing = new X509Certificate(papers("billing", "chain.pem")).raw;
    const fields = [
      ["client-cert", `:${leaf.toString("base64")}:`],
      ["client-cert-chain", `:${issuing.toString("base64")}:`],
    ];
    const pay = async (proxyField) =>
      send(await serve({ trustedProxies: ["127.0.0.0/8"], proxyField }), { fields, json: PAYMENT });
    assert.equal((await pay("x-forwarded-client-cert")).json.code, "possession.missing");
    assert.deepEqual(callers, []);
    assert.equal((await pay("client-cert")).status, 200);
    await assert.rejects(pay("x-client-cert"), /x-forwarded-client-cert/);
  });

  test("a_proxy_is_believed_only_where_it_is_named", async () => {
    const [leaf, issuing] = ["agent.pem", "chain.pem"].map(
      (file) => new X509Certificate(papers("billing", file)).raw,
    );
    const fields = [
      ["client-cert", `:${leaf.toString("base64")}:`],
      ["client-cert-chain", `:${issuing.toString("base64")}:`],
    ];
    const pay = async (options) => send(await serve(options), { fields, json: PAYMENT });
    for (const options of [
      {},
      { tls: true },
      { trustedProxies: ["10.0.0.1"], proxyField: "client-cert" },
      { trustedProxies: ["128.0.0.0/8"], proxyField: "client-cert" },
    ]) {
      assert.equal((await pay(options)).json.code, "possession.missing", JSON.stringify(options));
    }
    assert.deepEqual(callers, []);
    const answer = await pay({ trustedProxies: ["127.0.0.0/8"], proxyField: "client-cert" });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(callers[0].possession, "proxy");
  });

  test("a_serial_number_is_nobody_unless_a_folder_is_named_and_then_it_is_no_proof", async () => {
    const serial = new X509Certificate(papers("billing", "agent.pem")).serialNumber.toLowerCase();
    const folder = path.join(place, "serials");
    fs.mkdirSync(folder);
    const chained = Buffer.concat([papers("billing", "agent.pem"), papers("billing", "chain.pem")]);
    fs.writeFileSync(path.join(folder, `${serial}.pem`), chained);
    const fields = [["x-kakunin-cert-serial", serial]];
    const closed = await serve({ tls: true, trustedProxies: ["127.0.0.1"], proxyField: "client-cert" });
    assert.equal((await send(closed, { fields, json: PAYMENT })).json.code, "possession.missing");
    assert.deepEqual(callers, []);
    const open = await serve({ serials: folder });
    const answer = await send(open, { fields, json: PAYMENT });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(callers[0].possession, "none");
    assert.equal(callers[0].certificateSerial, serial);
    const over = await send(open, { fields, json: { ...PAYMENT, amount: "1000.01" } });
    assert.equal(over.json.code, "scope.amount");
    const other = await send(open, { fields: [["x-kakunin-cert-serial", "../lists"]], json: PAYMENT });
    assert.equal(other.status, 401, other.text);
  });
});

describe("options of a gateway", () => {
  test("node_opens_no_gateway_for_proxies_without_their_field", () => {
    const { stand } = require("./stand.js");
    const { desk } = stand();
    for (const proxyField of [undefined, null, ""]) {
      const open = () => Gateway.open(desk, { names: [HOST], trustedProxies: ["127.0.0.1"], proxyField });
      assert.throws(open, /client-cert.*x-forwarded-client-cert/, String(proxyField));
    }
    Gateway.open(desk, { names: [HOST], trustedProxies: ["127.0.0.1"], proxyField: "client-cert" });
    Gateway.open(desk, { names: [HOST], trustedProxies: [] });
  });

  test("what_cannot_be_right_is_refused_when_it_is_opened", () => {
    const { stand } = require("./stand.js");
    const { desk } = stand();
    const open =
      (options, agent = desk) =>
      () =>
        Gateway.open(agent, options);
    for (const [options, error] of [
      [undefined, TypeError],
      [{}, TypeError],
      [{ names: HOST }, TypeError],
      [{ names: [HOST], name: HOST }, TypeError],
      [{ names: [HOST], maxBody: "1 MiB" }, TypeError],
      [{ names: [HOST], maxBody: -1 }, TypeError],
      [{ names: [HOST], tls: 1 }, TypeError],
      [{ names: [HOST], trustedProxies: "127.0.0.1" }, TypeError],
      [{ names: [] }, { name: "KakuninError" }],
      [{ names: ["https://pay.example"] }, { name: "KakuninError" }],
      [{ names: [HOST], trustedProxies: ["localhost"], proxyField: "client-cert" }, { name: "KakuninError" }],
      [{ names: [HOST], serials: "/nowhere" }, { name: "KakuninError" }],
      [{ names: [HOST], nameLists: "/nowhere" }, { name: "KakuninError" }],
    ]) {
      assert.throws(open(options), error, JSON.stringify(options));
    }
    assert.throws(open({ names: [HOST] }, {}), TypeError);
    assert.throws(() => new Gateway(), TypeError);
  });
});
