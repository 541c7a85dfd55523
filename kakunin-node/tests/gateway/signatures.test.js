"use strict";
// Proofs between this package and a library of RFC 9421 that knows nothing of it, from docs/wire.md 6 alone.

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { once } = require("node:events");
const { X509Certificate, createHash, createPrivateKey, randomBytes } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after, before, describe, test } = require("node:test");

const { createSigner, createVerifier, httpbis } = require("http-message-signatures");
const express = require("express");
const { Gateway, chain, guard, runAs } = require("kakunin-node");
const { requireAgent } = require("kakunin-node/express");
const { prove } = require("kakunin-node/fetch");
const { FakeClock, openAgent } = require("kakunin-node/testing");

const { SELECTORS } = require("./matrix.js");
const { HOST, PAYMENT, SCOPE, send } = require("./stand.js");

const CLI = process.env.KAKUNIN_CLI;
const COVERED = ["@method", "@authority", "@path", "@query", "content-digest", "kakunin-certificate-chain"];

describe("proofs and a library of HTTP message signatures", {
  skip: CLI ? false : "KAKUNIN_CLI is not set",
}, () => {
  let place, clock, agent, key, links, gateway, server;

  before(async () => {
    place = fs.mkdtempSync(path.join(os.tmpdir(), "kakunin-"));
    const [home, scope] = [path.join(place, "home"), path.join(place, "scope.json")];
    fs.writeFileSync(scope, JSON.stringify(SCOPE));
    const run = (...args) =>
      execFileSync(CLI, [...args, "--home", home], { stdio: ["ignore", "pipe", "inherit"] });
    run("init");
    for (const name of ["desk", "billing"])
      run("agent", "create", name, "--scope", scope, "--out", path.join(place, name));
    const lists = path.join(place, "lists.pem");
    run("crl", "--out", lists);
    clock = new FakeClock();
    const open = (name) => openAgent(path.join(place, name), { clock, lists });
    agent = open("billing");
    gateway = Gateway.open(open("desk"), { names: [HOST] });
    clock.advance(11);
    const text = (name) => fs.readFileSync(path.join(place, "billing", name), "utf8");
    key = createPrivateKey(text("key.pem"));
    links = [text("agent.pem"), text("chain.pem")].map((pem) => new X509Certificate(pem));
    const app = express();
    app.post("/pay", requireAgent("payments:send", SELECTORS, { gateway }), (_req, res) =>
      res.json({ ok: true }),
    );
    server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(() => {
    server?.close();
    fs.rmSync(place, { recursive: true });
  });

  const content = Buffer.from(JSON.stringify(PAYMENT));
  const digest = (octets) => `sha-256=:${createHash("sha256").update(octets).digest("base64")}:`;
  const keyid = () => createHash("sha256").update(links[0].raw).digest("hex");

  async function isVerified(message, fields) {
    const verifier = createVerifier(links[0].publicKey, "ecdsa-p256-sha256");
    const config = {
      keyLookup: async (said) =>
        said.keyid === keyid() ? { id: keyid(), algs: ["ecdsa-p256-sha256"], verify: verifier } : null,
      requiredFields: fields,
      requiredParams: ["created", "nonce", "keyid", "tag"],
      tolerance: 60,
    };
    const signed = await httpbis.verifyMessage(config, message);
    return signed === true && message.headers["content-digest"] === digest(message.content);
  }

  test("what_this_package_proves_is_verified_by_the_library_and_nothing_that_was_changed", async () => {
    const fields = Object.fromEntries(
      prove(agent, { method: "POST", authority: HOST, path: "/pay", query: "a=1", content }),
    );
    const message = { method: "POST", url: `https://${HOST}/pay?a=1`, headers: fields, content };
    assert.equal(await isVerified(message, COVERED), true);
    const changed = [
      { method: "PUT" },
      { url: `https://${HOST}/pay?a=2` },
      { url: `https://${HOST}/pay` },
      { url: `https://${HOST}/Pay?a=1` },
      { url: "https://else.example/pay?a=1" },
      { content: Buffer.from("{}") },
      { headers: { ...fields, "content-digest": digest(Buffer.from("{}")) } },
      { headers: { ...fields, "kakunin-certificate-chain": ":AAAA:" } },
      {
        headers: { ...fields, "signature-input": fields["signature-input"].replace(/nonce="./, 'nonce="x') },
      },
    ];
    for (const change of changed)
      assert.equal(await isVerified({ ...message, ...change }, COVERED), false, JSON.stringify(change));
  });

  test("the_link_of_a_chain_is_covered_too", async () => {
    const target = { method: "POST", authority: HOST, path: "/pay", content };
    const asked = guard("read:invoices", {}, () => prove(agent, target));
    const fields = Object.fromEntries(chain(() => runAs(agent, asked)));
    const message = { method: "POST", url: `https://${HOST}/pay`, headers: fields, content };
    assert.match(fields["kakunin-chain"], /^[0-9a-f]{32};from=[0-9a-f]{64}$/);
    assert.equal(await isVerified(message, [...COVERED, "kakunin-chain"]), true);
    const other = fields["kakunin-chain"].replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    assert.equal(
      await isVerified({ ...message, headers: { ...fields, "kakunin-chain": other } }, COVERED),
      false,
    );
    const pay = (given) => send(server.address().port, { fields: Object.entries(given), body: content });
    assert.equal((await pay({ ...fields, "kakunin-chain": other })).json.code, "possession.signature");
    const { "kakunin-chain": link, ...without } = Object.fromEntries(prove(agent, target));
    assert.equal(link, undefined);
    assert.equal((await pay({ ...without, "kakunin-chain": other })).json.code, "possession.components");
    assert.equal((await pay(fields)).status, 200);
  });

  test("what_the_library_signs_is_taken_and_nothing_that_was_changed", async () => {
    const signed = (fields = COVERED, more = {}) =>
      httpbis.signMessage(
        {
          key: createSigner(key, "ecdsa-p256-sha256", keyid()),
          name: "kakunin",
          fields,
          params: ["created", "nonce", "keyid", "alg", "tag"],
          paramValues: {
            created: clock.now,
            nonce: randomBytes(16).toString("hex"),
            tag: "kakunin",
            ...more,
          },
        },
        {
          method: "POST",
          url: `https://${HOST}/pay`,
          headers: {
            "content-digest": digest(content),
            "kakunin-certificate-chain": links.map(({ raw }) => `:${raw.toString("base64")}:`).join(", "),
          },
        },
      );
    const pay = async ({ headers }, body = content) =>
      send(server.address().port, {
        fields: Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
        body,
      });
    const taken = await pay(await signed());
    assert.equal(taken.status, 200, taken.text);
    assert.equal((await pay(await signed(), Buffer.from("{}"))).json.code, "possession.content");
    assert.equal((await pay(await signed(COVERED.slice(1)))).json.code, "possession.components");
    assert.equal((await pay(await signed([...COVERED].reverse()))).json.code, "possession.components");
    const old = new Date(clock.now.getTime() - 62_000);
    assert.equal((await pay(await signed(COVERED, { created: old }))).json.code, "possession.created");
    assert.equal((await pay(await signed(COVERED, { tag: "other" }))).json.code, "possession.malformed");
    assert.equal((await pay(await signed(COVERED, { keyid: "00".repeat(32) }))).json.code, "possession.key");
  });
});
