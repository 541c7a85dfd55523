/**
 * What the guard adds to a call from Node: rows of the table of `make bench`.
 *
 * Usage: guard.mjs KAKUNIN BENCHES OTHERS, the binaries of the command line and of the Rust benches, and the folder where the
 * packages of scripts/pins/node_bench are installed. Runs beside the package of a release build whose null journal only
 * benches can ask for. All subjects take turns in every round; medians of the ratios of a round are compared. Time is the
 * thread's own processor time, so that a busy machine does not speak.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { loadavg, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Agent, chain, guard } from "kakunin-node";

const [KAKUNIN, BENCHES, OTHERS] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const inside = (file) => require(path.join(path.dirname(require.resolve("kakunin-node")), file));
const native = inside("native.js");
const { openedBy } = inside("agent.js");
const other = createRequire(path.join(OTHERS, "package.json"));

const SCOPE = `
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
`;
const RULES = { amount: "total", currency: "EUR", counterparty: "supplier" };
const ROUNDS = 101;
const CALLS = 5_000;
/** DESIGN: a burst that the signer need not finish before it ends. */
const BURST = 400;

const order = { supplier: "acme", total: "125.00" };
let calls = 0;
function pay() {
  calls += 1;
}

/** Nanoseconds of a call, by subject and round. */
async function interleave(subjects, { each = CALLS, rounds = ROUNDS, pause = 0 } = {}) {
  const names = Object.keys(subjects);
  const nanos = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -3; round < rounds; round += 1) {
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(round + 3 + turn) % names.length];
      const subject = subjects[name];
      const begun = native.threadNanos();
      for (let call = 0; call < each; call += 1) subject(order);
      const took = (native.threadNanos() - begun) / each;
      if (round >= 0) nanos[name].push(took);
      if (pause > 0) await sleep(pause);
    }
  }
  return nanos;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

function ratio(ours, floor) {
  return median(ours.map((value, round) => value / floor[round]));
}

function text(nanos) {
  return nanos < 1_000 ? `${nanos.toFixed(0)} ns` : `${(nanos / 1_000).toFixed(2)} µs`;
}

function row(what, nanos, floor, of, hold) {
  const promise = hold === undefined ? "" : `≤ ${hold}${of <= hold ? "" : ", does not hold"}`;
  console.log(`| ${what} | ${text(nanos)} | ${floor} | ${of.toFixed(2)} | ${promise} |`);
}

function makeAgent(folder) {
  writeFileSync(path.join(folder, "scope.toml"), SCOPE);
  for (const line of ["init", "agent create billing --scope scope.toml --out billing"]) {
    execFileSync(KAKUNIN, line.split(" "), { cwd: folder, stdio: "pipe" });
  }
  const read = (name) => readFileSync(path.join(folder, "billing", `${name}.pem`), "latin1");
  const lists = readFileSync(path.join(folder, ".kakunin", "public", "lists.pem"), "latin1");
  const texts = {
    certificate: read("agent"),
    key: read("key"),
    chain: read("chain"),
    ca: read("ca"),
    lists,
    names: [],
  };
  return openedBy(() => native.openPemWithoutReceipts(texts), "the bench");
}

/** The same question to node-casbin, in memory. */
async function casbin() {
  const { newEnforcer, newModelFromString, StringAdapter } = other("casbin");
  const model = newModelFromString(`
[request_definition]
r = sub, act, cp, total
[policy_definition]
p = sub, act, cp
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.act == p.act && r.cp == p.cp && r.total <= 10000
`);
  const lines = "p, billing, payments:send, acme\np, billing, payments:send, globex";
  const enforcer = await newEnforcer(model, new StringAdapter(lines));
  return ({ supplier, total }) => {
    if (!enforcer.enforceSync("billing", "payments:send", supplier, Number(total))) throw new Error("denied");
    pay();
  };
}

/** The same question to Cedar, its policies parsed once. */
function cedar() {
  const cedar = other("@cedar-policy/cedar-wasm/nodejs");
  const policies = `permit(principal == Agent::"billing", action == Action::"payments:send", resource)
    when { context.total.lessThanOrEqual(decimal("10000.00")) && ["acme", "globex"].contains(context.supplier) };`;
  const parsed = cedar.preparsePolicySet("bench", { staticPolicies: policies });
  if (parsed.type !== "success") throw new Error(JSON.stringify(parsed));
  return ({ supplier, total }) => {
    const answer = cedar.statefulIsAuthorized({
      principal: { type: "Agent", id: "billing" },
      action: { type: "Action", id: "payments:send" },
      resource: { type: "Payment", id: "one" },
      context: { supplier, total: { __extn: { fn: "decimal", arg: total } } },
      preparsedPolicySetId: "bench",
      validateRequest: false,
      entities: [],
    });
    if (answer.type !== "success" || answer.response.decision !== "allow")
      throw new Error(JSON.stringify(answer));
    pay();
  };
}

async function callRows(agent) {
  const subjects = {
    wrapper: (
      (fn) =>
      (...args) =>
        fn.apply(undefined, args)
    )(pay),
    native: ({ supplier, total }) => native.onlyConvert(1, 2, total, supplier),
    crossing: () => native.onlyCross(),
    guard: guard("payments:send", { ...RULES, agent }, pay),
    texts: guard("payments:send", { ...RULES, counterparty: ["supplier"], agent }, pay),
    casbin: await casbin(),
    cedar: cedar(),
  };
  const { casbin: byCasbin, cedar: byCedar, ...ours } = subjects;
  const rounds = await interleave(ours);
  // What the last guarded call left in the buffer, decided about again and again without leaving Rust.
  ours.guard(order);
  const decided = rounds.guard.map(() => {
    const begun = native.threadNanos();
    native.onlyDecide(CALLS);
    return (native.threadNanos() - begun) / CALLS;
  });
  const beside = await interleave({ guard: ours.guard, byCasbin, byCedar }, { each: 200, rounds: 51 });
  const middle = (name) => median(rounds[name]);
  const own = ratio(rounds.guard, rounds.native);
  row(
    "Node: guarded call, no receipt",
    middle("guard"),
    `one native call with its texts: ${text(middle("native"))}`,
    own,
    2,
  );
  row(
    "… beside an empty wrapper",
    middle("guard"),
    `empty wrapper: ${text(middle("wrapper"))}`,
    ratio(rounds.guard, rounds.wrapper),
    10,
  );
  const least = rounds.crossing.map((nanos, round) => nanos + decided[round]);
  row(
    "… beside the least it can cost: an empty native call and the decision",
    middle("guard"),
    `empty native call: ${text(middle("crossing"))}, decision: ${text(median(decided))}`,
    ratio(rounds.guard, least),
  );
  row(
    "… that least beside an empty wrapper",
    median(least),
    `empty wrapper: ${text(middle("wrapper"))}`,
    ratio(least, rounds.wrapper),
  );
  row(
    "Node: … names as a list, which cross as texts",
    middle("texts"),
    `one native call with its texts: ${text(middle("native"))}`,
    ratio(rounds.texts, rounds.native),
  );
  for (const [name, called] of [
    ["byCasbin", "node-casbin"],
    ["byCedar", "cedar-wasm"],
  ]) {
    row(
      `Node: the same question to ${called}`,
      median(beside[name]),
      `guarded call: ${text(median(beside.guard))}`,
      ratio(beside[name], beside.guard),
    );
  }
  return middle("guard");
}

async function chainRow(agent, before) {
  // From the first chain of a thread on, every call reads one context.
  chain(() => undefined);
  const rounds = await interleave({ guard: guard("payments:send", { ...RULES, agent }, pay) });
  const after = median(rounds.guard);
  row("Node: … where a chain was begun, outside of it", after, `before: ${text(before)}`, after / before);
}

async function journalRows(agent, before) {
  const paid = guard("payments:send", { ...RULES, agent }, pay);
  const bare = () => Number(execFileSync(BENCHES, ["bare-write"], { encoding: "utf8" }));
  const first = bare();
  // The pause lets the signer finish, on a busy machine too: what is measured is a burst, and no call that waits for it.
  const rounds = await interleave({ paid }, { each: BURST, pause: 60 });
  const floor = before + first + bare();
  const journaled = median(rounds.paid);
  const shown = `guard + 2 x bare write() + serialise: ${text(floor)}`;
  row("Node: … two receipts journaled, in bursts of 400", journaled, shown, journaled / floor, 2.5);
  const begun = performance.now();
  let done = 0;
  while (performance.now() - begun < 2_000) {
    paid(order);
    done += 1;
  }
  agent.close();
  const rate = Math.round(done / ((performance.now() - begun) / 1_000));
  const sustained = rate.toLocaleString("en");
  const load = loadavg()[0].toFixed(1);
  console.log(
    `| Node: … sustained, wall clock, two signatures each | ${sustained} calls/s at a load of ${load} | | | |`,
  );
}

const folder = mkdtempSync(path.join(tmpdir(), "kakunin-bench-"));
try {
  const quiet = makeAgent(folder);
  const before = await callRows(quiet);
  await journalRows(Agent.fromDir(path.join(folder, "billing")), before);
  await chainRow(quiet, before);
  if (calls === 0) throw new Error("nothing was measured");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
