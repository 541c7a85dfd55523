/** Agents that are connected to their authority: enrolled, told of orders, through outages, in workers, ended. */

import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Agent, ConnectError, KakuninError } from "kakunin-node";

import { ended, folder, home, program } from "./home.mjs";
import { eventually, payment, service } from "./served.mjs";

/** Twice the time between two signed words, and less than an authority says. */
const SHORT = 10;
/** What waits for that long is shown on one Node: the time is counted in Rust. */
const LONG = { skip: process.versions.node.startsWith("20.") ? false : "shown on Node 20" };

const isConnectError = (code, text) => (error) => {
  assert.ok(error instanceof ConnectError, error);
  assert.ok(error instanceof KakuninError);
  assert.equal(error.code, code);
  assert.match(error.message, text);
  assert.ok(error.message.endsWith(`; ${error.fix} [${code}]`), error.message);
  return true;
};

test("papers, lists and feed arrive by themselves", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const agent = await served.connect(name);
  const asked = payment(agent);
  assert.equal(asked(), "allow");
  assert.equal(asked({ total: "100.01" }), "scope.amount");
  assert.equal(asked({ to: "stranger" }), "scope.counterparty");
  const files = readdirSync(served.directory(name));
  for (const file of ["agent.pem", "key.pem", "chain.pem", "ca.pem", "agent.toml", "lists.pem", "state"]) {
    assert.ok(files.includes(file), file);
  }
  assert.equal(statSync(path.join(served.directory(name), "key.pem")).mode & 0o077, 0);
  const status = agent.status();
  assert.equal(status.agentId, agent.agentId);
  assert.equal(status.url, served.url);
  assert.equal(status.transport, "stream");
  assert.equal(status.fresh, true);
  assert.equal(status.lastError, null);
  assert.ok(status.age >= 0 && status.age <= status.maxAge);
  assert.ok(status.certificateUntil instanceof Date && status.certificateUntil > new Date());
  assert.ok(status.listsUntil instanceof Date);
  assert.ok(Object.isFrozen(status));
  agent.close();
});

test("revoked from another terminal is denied within a second of the answer, and stays denied", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const agent = await served.connect(name);
  const ran = [];
  const asked = payment(agent, ran);
  const answers = [];
  const loop = setInterval(() => answers.push(asked()), 2);
  t.after(() => clearInterval(loop));
  await eventually(() => answers.includes("allow"), true);
  const answer = await served.order("revoke", name);
  const seconds = await eventually(() => answers.at(-1), "certificate.revoked", 5);
  t.diagnostic(`denied ${seconds.toFixed(3)} s after the answer of \`kakunin revoke\``);
  clearInterval(loop);
  const first = answers.indexOf("certificate.revoked");
  assert.deepEqual(new Set(answers.slice(0, first)), new Set(["allow"]));
  assert.deepEqual(new Set(answers.slice(first)), new Set(["certificate.revoked"]));
  assert.equal(ran.length, first);
  assert.ok(agent.status().epoch >= answer.epoch);
  agent.close();
});

test("suspended and resumed from another terminal", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const agent = await served.connect(name);
  const asked = payment(agent);
  await served.order("suspend", name);
  await eventually(asked, "certificate.held", 5);
  await served.order("resume", name);
  await eventually(asked, "allow", 5);
  agent.close();
});

test(
  "through an outage it is allowed until the last word is too old, and again with the next one",
  LONG,
  async (t) => {
    const served = await service(t);
    const name = await served.create();
    const alarms = [];
    const listener = (alarm) => alarms.push(alarm);
    diagnostics.subscribe("kakunin:alarm", listener);
    t.after(() => diagnostics.unsubscribe("kakunin:alarm", listener));
    const agent = await served.connect(name, { maxAge: SHORT });
    const ran = [];
    const asked = payment(agent, ran);
    assert.equal(asked(), "allow");
    assert.equal(agent.status().maxAge, SHORT);
    await served.kill();
    assert.equal(asked(), "allow", "what was heard last goes on counting");
    await eventually(asked, "revocation.stale", SHORT + 5);
    const allowed = ran.length;
    assert.equal(asked(), "revocation.stale");
    assert.equal(ran.length, allowed);
    await eventually(() => agent.status().fresh, false, 10);
    assert.equal(agent.status().freshFor, 0);
    assert.ok(agent.status().lastError.at instanceof Date);
    assert.match(agent.status().lastError.code, /^[a-z_.]+$/);
    const own = () => alarms.filter(({ agentId }) => agentId === agent.agentId);
    const codes = () =>
      own()
        .map(({ code }) => code)
        .filter((code) => code.startsWith("feed."));
    await eventually(() => codes().slice(-3).join(" "), "feed.silent_50 feed.silent_80 feed.stale", 10);
    assert.ok(own().every(({ text }) => typeof text === "string" && text !== ""));
    await served.start();
    await eventually(asked, "allow");
    await eventually(() => codes().at(-1), "feed.recovered", 10);
    assert.equal(agent.status().lastError, null);
    agent.close();
  },
);

test("without its authority a directory opens and allows nothing; revoked meanwhile it never does", async (t) => {
  const served = await service(t);
  const name = await served.create();
  (await served.connect(name)).close();
  await served.kill();
  const agent = await served.connect(name, { timeout: 0.5 });
  const ran = [];
  const asked = payment(agent, ran);
  assert.equal(asked(), "revocation.stale");
  assert.notEqual(agent.status().lastError, null);
  await served.start();
  await eventually(asked, "allow");
  agent.close();
  await served.kill();
  const again = await served.connect(name, { timeout: 0.5 });
  const later = payment(again, ran);
  assert.equal(later(), "revocation.stale");
  const before = ran.length;
  await served.start();
  // The order is given to whoever is served again; from one denial to the other if it comes first.
  await served.order("revoke", name);
  await eventually(later, "certificate.revoked");
  const atMost = ran.length;
  assert.equal(later(), "certificate.revoked");
  assert.ok(ran.length === atMost && atMost >= before);
  again.close();
});

test("what cannot be connected says why, and what to do", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const other = await served.create();
  const directory = (of) => path.join(served.at, of);
  const connect = (options, url = served.url) => Agent.connect(url, name, options);
  const good = await served.token(name);
  const flipped = (at) =>
    [...good].map((letter, here) => (here !== at ? letter : letter === "0" ? "1" : "0")).join("");
  await assert.rejects(
    connect({ directory: directory("a"), token: "none" }),
    isConnectError("connect.usage", /token is none/),
  );
  await assert.rejects(
    connect({ directory: directory("a"), token: "kak_enrol_none" }),
    isConnectError("connect.no_root", /which root/),
  );
  // Its secret, and the root that it names, which its authority signed too.
  const secret = "kak_enrol_".length + 20;
  await assert.rejects(
    connect({ directory: directory("b"), token: flipped(secret) }),
    isConnectError("access.token", /./),
  );
  await assert.rejects(
    connect({ directory: directory("b"), token: flipped(good.length - 1) }),
    isConnectError("access.token", /./),
  );
  await assert.rejects(
    connect({ directory: directory("c"), token: await served.token(other) }),
    isConnectError("not_found", /./),
  );
  await assert.rejects(connect({ directory: directory("d") }), isConnectError("connect.no_agent", /token/));
  await assert.rejects(
    connect({ directory: directory("e"), root: "ff" }),
    isConnectError("connect.usage", /`root`/),
  );
  await assert.rejects(
    connect(
      { directory: directory("f"), token: await served.token(name), timeout: 0.5 },
      "http://127.0.0.1:9",
    ),
    isConnectError("connect.unreachable", /./),
  );
  await assert.rejects(
    connect({ directory: directory("g") }, "http://authority.example"),
    isConnectError("connect.usage", /http/),
  );
  // What was refused left nothing that opens.
  for (const place of "abcdefg") {
    assert.throws(() => Agent.fromDir(directory(place)), KakuninError);
    assert.ok(!existsSync(path.join(directory(place), "agent.pem")), place);
  }
  const token = await served.token(name);
  const agent = await connect({ directory: directory("h"), token });
  agent.close();
  await assert.rejects(connect({ directory: directory("i"), token }), isConnectError("token.used", /./));
  await assert.rejects(
    Agent.connect(served.url, other, { directory: directory("h") }),
    isConnectError("agent.mismatch", /./),
  );
  for (const [options, text] of [
    [{ tokens: "x" }, /knows no `tokens`/],
    [{ timeout: 5000 }, /seconds, 3600 at most/],
    [{ maxAge: 0 }, /`maxAge`/],
    [{ maxAge: 1.5 }, /`maxAge`/],
    [{ withoutFeed: "yes" }, /`withoutFeed`/],
    [{ token: 7 }, /`token`/],
  ]) {
    await assert.rejects(connect({ directory: directory("j"), ...options }), (error) => {
      assert.ok(error instanceof TypeError, error);
      assert.match(error.message, text);
      return true;
    });
  }
});

test("nobody and nowhere are named in the error; the environment says what code does not", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const script = `
    import { Agent, guard, use } from "kakunin-node";
    for (const [url, agent] of [[], ["http://127.0.0.1:9"], [undefined, "x"]]) {
      delete process.env.KAKUNIN_GONE;
      const kept = { ...process.env };
      for (const name of Object.keys(kept)) if (name.startsWith("KAKUNIN_")) delete process.env[name];
      await Agent.connect(url, agent).catch((error) => console.log(error.code));
      Object.assign(process.env, kept);
    }
    use(await Agent.connect());
    guard("payments:send", { amount: "total", currency: "EUR", counterparty: "to" }, () => console.log("paid"))({ to: "acme", total: "1.00" });
  `;
  const ran = await ended(
    program(script, [], {
      KAKUNIN_URL: `http://127.0.0.1:9, ${served.url}`,
      KAKUNIN_AGENT: name,
      KAKUNIN_TOKEN: await served.token(name),
      KAKUNIN_AGENT_DIR: path.join(served.at, "by-environment"),
      KAKUNIN_STATE_DIR: path.join(served.at, "state-of-it"),
    }),
  );
  // It has come to its end by itself: a connected agent keeps no process alive.
  assert.deepEqual([ran.code, ran.out], [0, "connect.usage\nconnect.usage\nconnect.usage\npaid\n"], ran.err);
  assert.ok(existsSync(path.join(served.at, "state-of-it", "journal")));
  assert.doesNotMatch(
    readFileSync(path.join(served.at, "by-environment", "agent.toml"), "utf8"),
    /kak_enrol_/,
  );
});

test("the event loop goes on while it connects, and so do files", async (t) => {
  const served = await service(t);
  const names = await Promise.all(Array.from({ length: 6 }, () => served.create()));
  // Nobody answers there: each waits for all of its time.
  const [silent, held] = [createServer((socket) => held.add(socket)), new Set()];
  await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${silent.address().port}`;
  const waiting = [];
  for (const name of names) {
    const token = await served.token(name);
    waiting.push(
      Agent.connect(url, name, { directory: served.directory(name), token, timeout: 1 }).catch(
        (error) => error.code,
      ),
    );
  }
  let settled = false;
  const all = Promise.all(waiting).then((codes) => {
    settled = true;
    return codes;
  });
  // More of them wait than Node has threads for files, and a file is read meanwhile.
  await readFile(new URL(import.meta.url));
  await eventually(() => held.size >= names.length, true);
  assert.equal(settled, false);
  silent.close();
  for (const socket of held) socket.destroy();
  assert.deepEqual(new Set(await all), new Set(["connect.unreachable"]));
});

test("one connected agent is one agent, also while it connects", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const token = await served.token(name);
  const [one, two] = [served.connect(name, { token }), served.connect(name, { token })];
  const agent = await one;
  assert.equal(await two, agent);
  assert.equal(await served.connect(name), agent);
  await assert.rejects(served.connect(name, { maxAge: 30 }), /other options/);
  assert.throws(() => Agent.fromDir(served.directory(name)), /other options/);
  assert.match(JSON.stringify(agent), /"from":"Agent\.connect\(\.\., \\"agent-1\\"\)"/);
  agent.close();
  agent.close();
  const again = await served.connect(name);
  assert.notEqual(again, agent);
  assert.equal(payment(again)(), "allow");
  again.close();
});

test("no thread is left behind a connected agent that is closed", async (t) => {
  const served = await service(t);
  const name = await served.create();
  (await served.connect(name)).close();
  const threads = () => readdirSync("/proc/self/task").length;
  const before = threads();
  const agent = await served.connect(name);
  assert.equal(payment(agent)(), "allow");
  assert.ok(threads() > before);
  agent.close();
  await eventually(() => threads() <= before, true, 10);
});

test("only a connected agent has a status", (t) => {
  const { directory } = home(t).create({ actions: ["read:*"] });
  const agent = Agent.fromDir(directory);
  assert.throws(
    () => agent.status(),
    /only a connected agent has a status; this one is from Agent\.fromDir\(/,
  );
  agent.close();
});

test("each worker connects by itself, and one that is terminated ends nobody else's line", async (t) => {
  const served = await service(t);
  const name = await served.create();
  const agent = await served.connect(name);
  const code = `
    import { parentPort, workerData } from "node:worker_threads";
    import { payment } from ${JSON.stringify(new URL("./served.mjs", import.meta.url).href)};
    import { Agent } from "kakunin-node";
    const agent = await Agent.connect(workerData.url, workerData.name, { directory: workerData.directory });
    const asked = payment(agent);
    setInterval(() => parentPort.postMessage(asked()), 5);
  `;
  const file = path.join(folder(t), "worker.mjs");
  writeFileSync(file, code.replaceAll('"kakunin-node"', JSON.stringify(import.meta.resolve("kakunin-node"))));
  const data = { url: served.url, name, directory: served.directory(name) };
  const workers = [0, 1].map(() => new Worker(file, { workerData: data }));
  const last = [undefined, undefined];
  workers.forEach((worker, at) => {
    worker.on("message", (answer) => {
      last[at] = answer;
    });
    worker.on("error", (error) => {
      last[at] = String(error);
    });
  });
  await eventually(() => last.join(" "), "allow allow");
  await workers[0].terminate();
  assert.equal(payment(agent)(), "allow");
  await served.order("suspend", name);
  await eventually(() => last[1], "certificate.held", 5);
  await eventually(payment(agent), "certificate.held", 5);
  // One that is terminated in the middle of connecting takes nothing along.
  const silent = createServer(() => {});
  await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const hopeless = new Worker(file, {
    workerData: { ...data, url: `http://127.0.0.1:${silent.address().port}` },
  });
  await new Promise((resolve) => silent.once("connection", resolve));
  await hopeless.terminate();
  await workers[1].terminate();
  silent.close();
  await served.order("resume", name);
  await eventually(payment(agent), "allow", 5);
  agent.close();
});
