"use strict";
// A server of Next, built and started as it is for production, asked by octets that are written by hand.

const assert = require("node:assert/strict");
const { execFileSync, spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { after, before, beforeEach, describe, test } = require("node:test");

const { openAgent } = require("kakunin-node/testing");

const { HOST, PAYMENT, SCOPE, exchange, send, written } = require("../gateway/stand.js");

const { KAKUNIN_CLI: CLI, KAKUNIN_NEXT: APPLICATION } = process.env;

describe("a server of Next", () => {
  let place, server, port, agent, late, stranger;

  const ran = () => {
    const text = fs.readFileSync(path.join(place, "ran"), "utf8");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  };
  const run = (home, ...args) =>
    execFileSync(CLI, [...args, "--home", path.join(place, home)], { stdio: ["ignore", "pipe", "ignore"] });

  before(async () => {
    assert.ok(CLI && APPLICATION, "scripts/next.sh says where the command line and the application are");
    place = fs.mkdtempSync(path.join(os.tmpdir(), "kakunin-next-"));
    const scope = path.join(place, "scope.json");
    fs.writeFileSync(scope, JSON.stringify(SCOPE));
    for (const [home, names] of [
      ["ours", ["desk", "billing", "late"]],
      ["theirs", ["stranger"]],
    ]) {
      run(home, "init");
      for (const name of names)
        run(home, "agent", "create", name, "--scope", scope, "--out", path.join(place, name));
      run(home, "crl", "--out", path.join(place, `${home}.pem`));
    }
    // Agents that hear of no later list: what they prove is for the gateway to refuse.
    fs.copyFileSync(path.join(place, "ours.pem"), path.join(place, "old.pem"));
    [agent, late, stranger] = ["billing", "late", "stranger"].map((name) =>
      openAgent(path.join(place, name), {
        lists: path.join(place, name === "stranger" ? "theirs.pem" : "old.pem"),
      }),
    );
    port = await freePort();
    const log = fs.openSync(path.join(place, "log"), "w");
    server = spawn(
      process.execPath,
      [require.resolve("next/dist/bin/next"), "start", "-H", "127.0.0.1", "-p", `${port}`],
      {
        cwd: APPLICATION,
        env: {
          ...process.env,
          NODE_OPTIONS: "",
          NODE_TEST_CONTEXT: "",
          DESK: path.join(place, "desk"),
          LISTS: path.join(place, "ours.pem"),
          NAME: HOST,
          RAN: path.join(place, "ran"),
        },
        stdio: ["ignore", log, log],
      },
    );
    await answers(port, server, () => fs.readFileSync(path.join(place, "log"), "utf8"));
  });
  beforeEach(() => fs.writeFileSync(path.join(place, "ran"), ""));
  after(async () => {
    if (server?.exitCode === null) {
      server.kill();
      await once(server, "exit");
    }
    for (const opened of [agent, late, stranger]) opened?.close();
    if (place) fs.rmSync(place, { recursive: true });
  });

  const pay = (more) => send(port, { agent, json: PAYMENT, ...more });

  /** Refused with this code, and nothing ran. */
  async function refused(answer, status, code) {
    const said = await answer;
    assert.equal(said.status, status, said.text);
    assert.match(said.headers["content-type"], /^application\/problem\+json/);
    assert.equal(said.headers["cache-control"], "no-store");
    assert.equal(said.json.code, code);
    assert.deepEqual(ran(), []);
    return said;
  }

  test("a_route_handler_runs_for_whoever_may_with_what_was_proven", async () => {
    for (const chunked of [false, true]) {
      const answer = await pay({ chunked });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.json, { paid: "12.50" });
    }
    const one = { method: "POST", caller: agent.agentId, text: JSON.stringify(PAYMENT) };
    assert.deepEqual(ran(), [one, one]);
  });

  test("a_route_handler_never_runs_for_whoever_may_not", async () => {
    const missing = await refused(pay({ agent: null }), 401, "possession.missing");
    assert.match(missing.headers["accept-signature"], /^kakunin=/);
    assert.equal(missing.headers["www-authenticate"], "Signature");
    await refused(pay({ agent: stranger }), 401, "certificate.untrusted");
    await refused(pay({ host: "elsewhere.example" }), 401, "possession.authority");
    await refused(pay({ signed: { authority: "elsewhere.example" } }), 401, "possession.signature");
    await refused(pay({ signed: { method: "PUT" } }), 401, "possession.signature");
    await refused(pay({ signed: { target: "/pay?x" } }), 401, "possession.signature");
    await refused(pay({ target: "/pay?to=globex", signed: { target: "/pay" } }), 401, "possession.signature");
    await refused(pay({ signed: { content: Buffer.from("{}") } }), 401, "possession.content");
    await refused(pay({ json: { ...PAYMENT, amount: "1000.01" } }), 403, "scope.amount");
    await refused(pay({ json: { ...PAYMENT, to: "mallory" } }), 403, "scope.counterparty");
    await refused(pay({ json: { to: "acme" } }), 403, "request.amount_missing");
    await refused(pay({ json: { ...PAYMENT, amount: 12.5 } }), 403, "request.amount_invalid");
    const twice = Buffer.from('{"amount":"12.50","to":"mallory","to":"acme"}');
    await refused(pay({ body: twice }), 403, "request.amount_invalid");
    await refused(pay({ fields: [["content-type", "text/json"]] }), 403, "request.amount_invalid");
  });

  test("a_proof_counts_once", async () => {
    const octets = written({ agent, json: PAYMENT });
    assert.equal((await send(port, octets)).status, 200);
    fs.writeFileSync(path.join(place, "ran"), "");
    await refused(send(port, octets), 401, "possession.replayed");
  });

  // Next makes HEAD of the GET handler, and answers OPTIONS by itself.
  test("HEAD_and_OPTIONS_are_no_way_around", async () => {
    const get = { agent, method: "GET", target: "/invoices/7" };
    assert.equal((await send(port, get)).status, 200);
    assert.equal((await send(port, { ...get, method: "HEAD" })).status, 200);
    assert.deepEqual(
      ran().map(({ method, name }) => [method, name]),
      [
        ["GET", "7"],
        ["HEAD", "7"],
      ],
    );
    fs.writeFileSync(path.join(place, "ran"), "");
    assert.equal((await send(port, { ...get, method: "HEAD", agent: null })).status, 401);
    assert.equal((await send(port, { ...get, method: "HEAD", signed: { method: "GET" } })).status, 401);
    assert.equal((await send(port, { ...get, signed: { method: "HEAD" } })).status, 401);
    for (const method of ["OPTIONS", "PUT", "DELETE", "PATCH"]) {
      await send(port, { agent: null, method, target: "/pay" });
      await send(port, { agent, method, target: "/pay", json: PAYMENT });
      await send(port, { agent: null, method, target: "/invoices/7" });
    }
    const override = [["x-http-method-override", "POST"]];
    await send(port, { agent: null, method: "GET", target: "/pay", fields: override });
    assert.deepEqual(ran(), []);
  });

  test("other_spellings_of_a_path_are_no_way_around", async () => {
    const spellings = [
      "/pay/",
      "/PAY",
      "//pay",
      "/./pay",
      "/x/../pay",
      "/p%61y",
      "/pay%2f",
      "/pay;x",
      "/pay?",
    ];
    // What Next's own clients ask for, and what its middleware would say.
    spellings.push("/pay?_rsc=1", "/_next/data/x/pay.json", "/pay.rsc", "/pay.txt", `http://${HOST}/pay`);
    for (const target of spellings) {
      for (const fields of [[], [["rsc", "1"]], [["x-middleware-subrequest", "middleware"]]]) {
        await pay({ target, fields, agent: null });
        await pay({ target, fields, signed: { target: "/pay" }, json: { ...PAYMENT, to: "mallory" } });
        await pay({ target, fields, json: { ...PAYMENT, to: "mallory" } });
      }
      assert.deepEqual(ran(), [], target);
    }
    // What Next makes of a path for the handler is another matter than what was proven.
    const get = { agent, method: "GET" };
    for (const target of ["/invoices/a%20b", "/invoices/a%2Fb?x=+&y=1", "/invoices/%C3%A9?name=other"]) {
      assert.equal((await send(port, { ...get, target })).status, 200, target);
      assert.equal((await send(port, { ...get, target, agent: null })).status, 401, target);
    }
    assert.deepEqual(
      ran().map(({ name }) => decodeURIComponent(name)),
      ["a b", "a/b", "é"],
    );
    fs.writeFileSync(path.join(place, "ran"), "");
    // It writes queries anew, as `URLSearchParams` does, and takes out what it calls its own: what was signed otherwise is refused.
    for (const query of ["x=%20", "x=a/b", "x", "x=~", "nxtPname=8", "x=1&nxtPname=8"]) {
      await refused(send(port, { ...get, target: `/invoices/7?${query}` }), 401, "possession.signature");
    }
  });

  test("fields_that_are_there_twice_are_refused", async () => {
    for (const name of ["signature", "signature-input", "content-digest", "kakunin-certificate-chain"]) {
      const line = written({ agent, json: PAYMENT }).toString("latin1");
      const field = line.split("\r\n").find((text) => text.startsWith(`${name}: `));
      const octets = Buffer.from(line.replace(field, `${field}\r\n${field}`), "latin1");
      const answer = await send(port, octets);
      assert.equal(answer.status, 401, `${name}: ${answer.text}`);
    }
    const length = await pay({ fields: [["content-length", "1"]] });
    assert.equal(length.status, 400);
    const both = await pay({ chunked: true, fields: [["content-length", "3"]] });
    assert.equal(both.status, 400);
    const without = await pay({ host: null, signed: { authority: HOST } });
    assert.ok([400, 401].includes(without.status), without.text);
    // Of two hosts Node hands on the first one; what was proven for the other one is not.
    const first = await pay({
      host: "elsewhere.example",
      signed: { authority: HOST },
      fields: [["host", HOST]],
    });
    assert.ok([400, 401].includes(first.status), first.text);
    assert.deepEqual(ran(), []);
  });

  test("requests_in_one_connection_are_judged_one_by_one", async () => {
    const good = () => written({ agent, json: PAYMENT, last: false });
    const bad = () => written({ json: PAYMENT, last: false });
    const all = Buffer.concat([bad(), good(), bad(), written({ agent, json: PAYMENT })]);
    const heard = await exchange(port, all);
    assert.deepEqual(
      heard.map((answer) => answer.status),
      [401, 200, 401, 200],
    );
    assert.equal(ran().length, 2);
  });

  test("a_body_over_the_limit_is_refused_and_one_that_never_ends_is_not_waited_for", async () => {
    const body = Buffer.from(JSON.stringify({ ...PAYMENT, memo: "x".repeat(3000) }));
    await refused(pay({ body }), 413, "request.too_large");
    await refused(pay({ body, chunked: true }), 413, "request.too_large");
    const endless = (by) => written({ agent: by, json: PAYMENT, chunked: true }).subarray(0, -5);
    await refused(first(port, endless(null)), 401, "possession.missing");
    await refused(first(port, endless(stranger)), 401, "certificate.untrusted");
  });

  test("who_is_revoked_is_refused_and_recorded", async () => {
    assert.equal((await pay({ agent: late })).status, 200);
    run("ours", "revoke", "late", "--reason", "test");
    run("ours", "crl", "--out", path.join(place, "ours.pem"));
    const deadline = Date.now() + 60_000;
    for (;;) {
      fs.writeFileSync(path.join(place, "ran"), "");
      const answer = await pay({ agent: late });
      if (answer.status !== 200) {
        const said = await refused(answer, 403, "certificate.revoked");
        assert.ok(typeof said.json.decision === "string", said.text);
        break;
      }
      assert.ok(Date.now() < deadline, "it was never taken up");
    }
    const endless = written({ agent: late, json: PAYMENT, chunked: true }).subarray(0, -5);
    await refused(first(port, endless), 403, "certificate.revoked");
  });
});

/** The answer to octets after which the server need not close the connection. */
function first(port, octets) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(octets));
    let heard = "";
    socket.setTimeout(30_000, () => socket.destroy(new Error("no answer")));
    socket.on("error", reject);
    socket.on("data", (part) => {
      heard += part.toString("utf8");
      const [head, text] = heard.split("\r\n\r\n", 2);
      const json = /\{"[^\r\n]*\}/.exec(text ?? "")?.[0];
      if (json === undefined) return;
      socket.destroy();
      const [line, ...fields] = head.split("\r\n");
      const headers = Object.fromEntries(fields.map((field) => field.toLowerCase().split(/: /, 2)));
      resolve({ status: Number(line.split(" ")[1]), headers, text, json: JSON.parse(json) });
    });
  });
}

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function answers(port, server, log) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    assert.equal(server.exitCode, null, log());
    assert.ok(Date.now() < deadline, log());
    const socket = net.connect(port, "127.0.0.1");
    const [event] = await Promise.race([
      once(socket, "connect").then(() => ["connect"]),
      once(socket, "error").then(() => ["error"]),
    ]).catch(() => ["error"]);
    socket.destroy();
    if (event === "connect") return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
