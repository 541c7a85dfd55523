// Rows P8, P12, P15, P16 and P17: processes, workers, disks, faults, the environment.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import {
  Agent,
  DENIAL_CODES,
  guard,
  InternalDenied,
  KakuninError,
  runAs,
  ScopeDenied,
  use,
} from "kakunin-node";
import { assertDenied, openAgent } from "kakunin-node/testing";

import { cli, ended, folder, home, program } from "./home.mjs";
import { PAY, setting } from "./table.mjs";

const require = createRequire(import.meta.url);
const native = require("../js/native.js");

const READ = { actions: ["read:*"] };
const DAILY = {
  actions: ["payments:send"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_day: "100.00" }],
};

/** Verifies the journal of a directory; without a log nothing is anchored, which is code 3. */
function verify(directory, root) {
  const { code, out } = cli("verify", path.join(directory, "state"), "--root", root);
  assert.ok(code === 0 || code === 3, out);
  return out;
}

test("node_opens_one_directory_once_and_refuses_other_options", (t) => {
  const { directory } = home(t).create(READ);
  const agent = Agent.fromDir(directory);
  assert.equal(Agent.fromDir(`${directory}/.`), agent);
  assert.throws(() => Agent.fromDir(directory, { mode: "observe" }), /other options/);
  assert.throws(() => Agent.fromDir(directory, { mdoe: "observe" }), TypeError);
  assert.throws(() => Agent.fromDir(path.join(directory, "nothing")), KakuninError);
  assert.throws(() => Agent.fromDir(5), TypeError);
  assert.throws(() => Agent.fromDir(folder(t), { journal: { levels: { "read:*": 5 } } }), TypeError);
  assert.throws(() => Agent.fromDir(folder(t), { journal: { level: {} } }), TypeError);
  guard("read:x", { agent }, () => 1)();
  agent.close();
  assert.equal(guard("read:x", { agent }, () => 1)(), 1);
  agent.close();
});

test("node_opens_an_agent_from_texts", (t) => {
  const house = home(t);
  const { directory } = house.create(READ);
  const at = (name) => path.join(directory, name);
  const papers = {
    key: at("key.pem"),
    chain: at("chain.pem"),
    ca: at("ca.pem"),
    lists: readFileSync(path.join(house.place, "public", "lists.pem")),
  };
  const agent = Agent.fromPem(readFileSync(at("agent.pem"), "latin1"), papers);
  assert.equal(agent.agentId, Agent.fromDir(directory).agentId);
  assert.equal(guard("read:x", { agent }, () => "ran")(), "ran");
  agent.replaceLists(papers.lists);
  assert.throws(() => Agent.fromPem("no certificate", papers), KakuninError);
  assert.throws(() => Agent.fromPem(5, papers), TypeError);
  assert.throws(() => Agent.fromPem(at("agent.pem"), { ...papers, key: at("chain.pem") }), KakuninError);
  assert.throws(() => Agent.fromPem(at("agent.pem"), { ...papers, isuer: "" }), TypeError);
});

test("node_writes_a_journal_that_verifies_when_the_process_ends", async (t) => {
  const house = home(t);
  const { directory } = house.create(READ);
  const script = `
    import { Agent, guard, use } from "kakunin-node";
    use(Agent.fromDir(process.argv[1]));
    const read = guard("read:x", {}, () => 1);
    for (let n = 0; n < 50; n += 1) read();
    if (process.argv[2] === "throw") setTimeout(() => { throw new Error("out"); }, 1);
    if (process.argv[2] === "exit") process.exit(7);
  `;
  for (const [how, code] of [
    ["end", 0],
    ["exit", 7],
    ["throw", 1],
  ]) {
    const ran = await ended(program(script, [directory, how]));
    assert.equal(ran.code, code, ran.err);
  }
  const out = verify(directory, house.root);
  assert.match(out, /3 streams|streams/);
});

test("node_leaves_a_journal_that_verifies_when_it_is_killed", async (t) => {
  const house = home(t);
  const { directory } = house.create(READ);
  const script = `
    import { writeSync } from "node:fs";
    import { Agent, guard, use } from "kakunin-node";
    use(Agent.fromDir(process.argv[1]));
    const read = guard("read:x", {}, () => 1);
    for (;;) { read(); writeSync(1, "."); }
  `;
  let acknowledged = 0;
  for (let turn = 0; turn < 3; turn += 1) {
    const child = program(script, [directory]);
    child.stdout.on("data", (text) => {
      acknowledged += text.length;
      if (acknowledged > 100 * (turn + 1)) child.kill("SIGKILL");
    });
    const { signal } = await ended(child);
    assert.equal(signal, "SIGKILL");
  }
  assert.ok(acknowledged > 300);
  const agent = openAgent(directory);
  guard("read:x", { agent }, () => 1)();
  agent.close();
  verify(directory, house.root);
});

test("node_processes_and_workers_never_pass_a_daily_limit_together", async (t) => {
  const { directory } = home(t).create(DAILY);
  const script = `
    import { writeSync } from "node:fs";
    import { Worker, isMainThread } from "node:worker_threads";
    import { Agent, guard } from "kakunin-node";
    const agent = Agent.fromDir(process.argv[1]);
    const pay = guard("payments:send", { amount: "total", currency: "EUR", agent }, () => writeSync(1, "."));
    for (let n = 0; n < 1000; n += 1) {
      try { pay({ total: "1.00" }); } catch (error) {
        if (error.code === "budget.window") break;
        if (!String(error.code).startsWith("budget.")) throw error;
      }
    }
  `;
  let done = 0;
  for (let wave = 0; wave < 2; wave += 1) {
    const children = Array.from({ length: 4 }, () => program(script, [directory]));
    if (wave === 0) {
      for (const [index, child] of children.entries()) {
        child.stdout.once("data", () => setTimeout(() => child.kill("SIGKILL"), index));
      }
    }
    const all = await Promise.all(children.map(ended));
    done += all.reduce((sum, { out }) => sum + out.length, 0);
    if (wave === 1) for (const { code, err } of all) assert.equal(code, 0, err);
  }
  assert.ok(done > 0 && done <= 100, String(done));
  const agent = openAgent(directory);
  assertDenied("budget.window", () =>
    guard("payments:send", { ...PAY, counterparty: null, agent }, () => 1)({ total: "1.00" }),
  );
  agent.close();
});

test("node_workers_open_their_own_agent_and_take_no_handle_of_another", async (t) => {
  const house = home(t);
  const { directory } = house.create(READ);
  const mine = Agent.fromDir(directory);
  const handle = native.openDirectory(directory, undefined, { mode: "enforce", levels: [] });
  assert.equal(guard("read:x", { agent: mine }, () => 1)(), 1);
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { Agent, guard, runAs, currentAgent } = require(workerData.entry);
    const native = require(workerData.native);
    const answers = [];
    const ask = (fn) => { try { answers.push(String(fn())); } catch (error) { answers.push(error.code ?? error.name); } };
    ask(() => guard("read:x", {}, () => "ran")());
    ask(() => runAs(workerData.agent, () => "ran"));
    ask(() => native.agentId(workerData.handle));
    ask(() => native.check(native.plan("read:x"), workerData.handle, 0, 0));
    ask(() => native.check(workerData.plan, 0, 0, 0));
    ask(() => { const own = Agent.fromDir(workerData.directory); return guard("read:x", { agent: own }, () => "ran")(); });
    parentPort.postMessage(answers);
    if (workerData.stay) setInterval(() => 1, 1000);
  `;
  const entry = require.resolve("kakunin-node");
  const data = {
    entry,
    native: require.resolve("../js/native.js"),
    directory,
    handle,
    plan: native.plan("read:x"),
    agent: { ...mine },
  };
  for (const stay of [false, true]) {
    const worker = new Worker(script, { eval: true, workerData: { ...data, stay } });
    const answers = await new Promise((resolve, reject) =>
      worker.once("message", resolve).once("error", reject),
    );
    assert.deepEqual(answers, [
      "agent.missing",
      "TypeError",
      "GenericFailure",
      "-1",
      "GenericFailure",
      "ran",
    ]);
    if (stay) await worker.terminate();
    else await new Promise((resolve) => worker.once("exit", resolve));
  }
  assert.equal(guard("read:x", { agent: mine }, () => 1)(), 1, "the thread goes on");
  assert.throws(() => structuredClone(guard("read:x", {}, () => 1)));
  mine.close();
  native.close(handle);
  verify(directory, house.root);
});

test("node_does_not_keep_a_process_alive", async (t) => {
  const { directory } = home(t).create(READ);
  const begun = Date.now();
  const ran = await ended(
    program(`import { Agent } from "kakunin-node"; Agent.fromDir(process.argv[1]); console.log("open");`, [
      directory,
    ]),
  );
  assert.deepEqual([ran.code, ran.out], [0, "open\n"], ran.err);
  assert.ok(Date.now() - begun < 30_000);
});

test("node_use_is_once_and_names_what_can_never_be_called", async () => {
  const script = `
    import { Agent, guard, use, currentAgent } from "kakunin-node";
    import { MemoryAuthority } from "kakunin-node/testing";
    const authority = new MemoryAuthority();
    const agent = authority.issue({ actions: ["read:*"] });
    process.on("warning", ({ message }) => console.log("warning", message));
    const early = guard("write:early", {}, function early() {});
    use(agent);
    use(agent);
    guard("read:x", {}, function fine() {})();
    guard("write:late", {}, function late() {});
    try { use(authority.issue({ actions: ["read:*"] })); } catch (error) { console.log(error.name); }
    console.log(currentAgent() === agent);
  `;
  const { out, err } = await ended(program(script));
  assert.match(out, /early can never be called/, err);
  assert.match(out, /late can never be called/);
  assert.doesNotMatch(out, /fine can never/);
  assert.match(out, /^KakuninError$/m);
  assert.match(out, /^true$/m);
  assert.throws(() => use({}), TypeError);
});

// --- P9 and P8 with files ---

test("node_hears_orders_from_the_command_line", async (t) => {
  const house = home(t);
  const { name, directory } = house.create(READ);
  const agent = openAgent(directory, { lists: path.join(house.place, "public", "lists.pem") });
  const read = guard("read:x", { agent }, () => 1);
  read();
  house.order("suspend", name, "--reason", "a test");
  assert.equal(agent.refresh(), true);
  assertDenied("certificate.held", read);
  house.order("resume", name, "--reason", "a test");
  agent.refresh();
  read();
  house.order("revoke", name, "--reason", "a test");
  agent.refresh();
  assertDenied("certificate.revoked", read);
  agent.close();
});

test("node_denies_a_list_that_was_rolled_back_at_the_next_start", (t) => {
  const house = home(t);
  const { name, directory } = house.create(READ);
  const lists = path.join(folder(t), "lists.pem");
  const published = path.join(house.place, "public", "lists.pem");
  cpSync(published, lists);
  const old = readFileSync(lists);
  const first = openAgent(directory, { lists });
  guard("read:x", { agent: first }, () => 1)();
  house.order("suspend", name, "--reason", "a test");
  cpSync(published, lists);
  first.refresh();
  assertDenied(
    "certificate.held",
    guard("read:x", { agent: first }, () => 1),
  );
  first.close();
  writeFileSync(lists, old);
  const second = openAgent(directory, { lists });
  assertDenied(
    "revocation.rollback",
    guard("read:x", { agent: second }, () => assert.fail("ran")),
  );
  second.close();
});

test("node_denies_the_certificate_of_another_key", (t) => {
  const house = home(t);
  const [one, two] = [house.create(READ), house.create(READ)];
  cpSync(path.join(two.directory, "agent.pem"), path.join(one.directory, "agent.pem"));
  const agent = openAgent(one.directory);
  assertDenied(
    "certificate.malformed",
    guard("read:x", { agent }, () => assert.fail("ran")),
  );
  agent.close();
});

// --- P15 ---

test("node_denies_when_the_state_cannot_be_written", (t) => {
  const { directory } = home(t).create(READ);
  const file = path.join(folder(t), "file");
  writeFileSync(file, "in the way");
  const agent = openAgent(directory, { state: path.join(file, "state") });
  const denied = assertDenied(
    "journal.unavailable",
    guard("read:x", { agent }, () => assert.fail("ran")),
  );
  assert.match(denied.fix, /state/);
  agent.close();
});

test("node_denies_when_the_disk_is_full", async (t) => {
  const { directory } = home(t).create(READ);
  const script = `
    import { Agent, guard, use } from "kakunin-node";
    use(Agent.fromDir(process.argv[1]));
    const read = guard("read:x", {}, () => 1);
    try { for (let n = 0; n < 2000; n += 1) read(); console.log("never denied"); } catch (error) { console.log(error.code); }
  `;
  // A file of this process ends at 64 kB; a signal would otherwise say so.
  const quoted = `trap "" XFSZ; ulimit -f 64; exec "$0" --input-type=module -e "$1" -- "$2"`;
  const { spawnSync } = await import("node:child_process");
  const ran = spawnSync("bash", ["-c", quoted, process.execPath, script, directory], {
    encoding: "utf8",
    cwd: path.join(import.meta.dirname, ".."),
    env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: "" },
  });
  assert.match(ran.stdout, /^journal\.(unavailable|poisoned)\n$/, ran.stderr);
});

test("node_notices_a_state_that_is_removed_within_a_second", async (t) => {
  const { directory } = home(t).create(READ);
  const agent = openAgent(directory);
  let last = 0;
  const read = guard("read:x", { agent }, () => {
    last = performance.now();
  });
  read();
  rmSync(path.join(directory, "state"), { recursive: true });
  const removed = performance.now();
  let denied;
  while (denied === undefined && performance.now() - removed < 10_000) {
    try {
      read();
    } catch (error) {
      denied = error;
    }
    await sleep(5);
  }
  assert.match(denied.code, /^(journal|budget|revocation)\./);
  assert.ok(last - removed < 1000, `${last - removed} ms`);
  agent.close();
});

test("node_denies_as_busy_while_another_process_has_the_budget_file", async (t) => {
  const { directory } = home(t).create(DAILY);
  const agent = openAgent(directory);
  const ran = [];
  const selectors = { amount: "total", currency: "EUR", agent };
  const pay = guard("payments:send", selectors, ({ total }) => ran.push(total));
  pay({ total: "1.00" });
  const budget = path.join(directory, "state", "budget.seg");
  const holder = spawn("flock", [budget, "sh", "-c", "echo held; cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [held] = await once(holder.stdout, "data");
  assert.equal(`${held}`, "held\n");
  assertDenied("budget.busy", () => pay({ total: "1.00" }));
  holder.stdin.end();
  await once(holder, "close");
  pay({ total: "1.00" });
  assert.deepEqual(ran, ["1.00", "1.00"]);
  agent.close();
});

// --- P16 ---

test("node_denies_as_internal_what_fails_in_the_guard_itself", () => {
  const { agent, body, acting } = setting();
  assert.throws(() => native.failInside(), /internal/);
  const act = guard("read:x", {}, body);
  const faults = {
    decide: [
      () => {
        throw new Error("fault");
      },
      () => undefined,
      () => Number.NaN,
      () => "0",
      () => null,
      () => -3,
      () => ({}),
    ],
    check: [
      () => {
        throw new Error("fault");
      },
      () => undefined,
      () => "1",
    ],
    denial: [() => undefined, () => null],
  }; // prettier-ignore
  const named = guard("read:x", { resource: () => "new-name" }, body);
  const never = guard("write:x", {}, body);
  for (const [name, ways] of Object.entries(faults)) {
    const real = native[name];
    for (const fault of ways) {
      native[name] = fault;
      try {
        const denied = acting(() =>
          assertDenied("internal", name === "check" ? named : name === "decide" ? act : never),
        );
        assert.ok(denied instanceof InternalDenied);
      } finally {
        native[name] = real;
      }
    }
  }
  assert.equal(body.ran, 0);
  runAs(agent, act);
  assert.equal(body.ran, 1, "the host lives");
});

test("node_no_depth_of_the_stack_lets_a_body_run_unasked", () => {
  const { acting, body } = setting();
  const never = guard("write:x", {}, body);
  let codes = 0;
  const dive = () => {
    try {
      never();
    } catch (error) {
      if (error instanceof ScopeDenied) codes += 1;
    }
    dive();
  };
  acting(() => assert.throws(dive, RangeError));
  assert.ok(codes > 10);
  assert.equal(body.ran, 0);
});

// --- P17 ---

test("node_ignores_variables_that_ask_to_loosen_with_a_warning", async (t) => {
  const { directory } = home(t).create({ actions: ["read:x"] });
  const asking = {
    KAKUNIN_MODE: "observe",
    KAKUNIN_ENFORCE: "0",
    KAKUNIN_DISABLE: "1",
    KAKUNIN_OBSERVE: "true",
    KAKUNIN_FAIL_OPEN: "yes",
  };
  const library = path.join(folder(t), "other.node");
  writeFileSync(library, "no library");
  const script = `
    import { Agent, guard, use } from "kakunin-node";
    process.on("warning", ({ message }) => console.log(message));
    use(Agent.fromDir(process.argv[1]));
    use(Agent.fromDir(process.argv[1]));
    try { guard("write:x", {}, () => console.log("RAN"))(); } catch (error) { console.log(error.code); }
  `;
  const env = { ...asking, NAPI_RS_NATIVE_LIBRARY_PATH: library };
  const { out, err, code } = await ended(program(script, [directory], env));
  assert.equal(code, 0, err);
  assert.doesNotMatch(out, /RAN/);
  assert.match(out, /^scope\.action$/m);
  for (const [name, value] of Object.entries(asking)) {
    assert.equal(out.split(`${name}=${value} is ignored`).length, 2, `${name}: ${out}`);
  }
  assert.match(out + err, /NAPI_RS_NATIVE_LIBRARY_PATH is set and ignored/);
});

test("node_has_the_directory_of_the_environment_and_no_state_in_memory_by_it", async (t) => {
  const { directory } = home(t).create(READ);
  const script = `
    import { Agent, guard, use } from "kakunin-node";
    use(Agent.fromEnv());
    console.log(guard("read:x", {}, () => "ran")());
  `;
  const at = folder(t);
  const { out, err } = await ended(
    program(script, [], { KAKUNIN_AGENT_DIR: directory, KAKUNIN_STATE_DIR: path.join(at, "state") }),
  );
  assert.equal(out, "ran\n", err);
  assert.ok(readdirSync(path.join(at, "state")).includes("journal"));
  const none = await ended(
    program(`import { Agent } from "kakunin-node"; Agent.fromEnv();`, [], { KAKUNIN_AGENT_DIR: "" }),
  );
  assert.match(none.err, /KAKUNIN_AGENT_DIR is not set/);
  assert.ok(DENIAL_CODES.length > 30);
});
