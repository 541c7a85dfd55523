// Row P26: options are what somebody gave, and what they name stays open as long as they are in use.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Agent, Gateway, guard, guardTools } from "kakunin-node";
import { prove, signedFetch } from "kakunin-node/fetch";
import { assertDenied, MemoryAuthority, openAgent } from "kakunin-node/testing";

import { home } from "./home.mjs";
import { PAY, setting } from "./table.mjs";

/** Runs `act` while every object inherits these. */
function inheriting(properties, act) {
  const names = Object.keys(properties);
  for (const name of names) {
    Object.defineProperty(Object.prototype, name, {
      value: properties[name],
      writable: true,
      configurable: true,
    });
  }
  try {
    return act();
  } finally {
    for (const name of names) delete Object.prototype[name];
  }
}

test("node_takes_no_option_from_the_prototype_of_all_objects", (t) => {
  const { agent: other, body } = setting();
  const { create } = home(t);
  const { directory } = create({ actions: ["read:x"] });
  const loose = { mode: "observe", onDeny: () => "allowed", agent: other, promise: true, state: "/nowhere" };
  const opened = inheriting({ ...loose, lists: "/nowhere", sealed: "x", clock: 1, journal: 1 }, () => [
    new MemoryAuthority().issue({ actions: ["read:x"] }),
    openAgent(directory),
    Agent.fromDir(directory),
  ]);
  for (const agent of opened) {
    assert.equal(agent.mode, "enforce");
    inheriting(loose, () => {
      const pay = guard("payments:send", { agent }, () => body());
      assertDenied("scope.action", () => pay({}));
    });
  }
  const [agent] = opened;
  const tools = inheriting(loose, () =>
    guardTools({ pay: () => body() }, { pay: "payments:send" }, { agent }),
  );
  assert.throws(() => tools.pay({}), { name: "ToolDenied" });
  const selected = { amount: () => "1.00", counterparty: () => "acme", currency: "EUR" };
  const bare = inheriting(selected, () => guard("payments:send", { agent: other }, () => body()));
  assertDenied("request.amount_missing", () => bare({ total: "1.00" }));
  const asked = inheriting({ amount: "1.00", counterparty: "acme" }, () =>
    other.check("payments:send", { currency: "EUR" }),
  );
  assert.equal(asked.code, "request.amount_missing");
  const gateway = inheriting({ tls: 1, serials: "/nowhere", trustedProxies: 1, nonces: 1 }, () =>
    Gateway.open(agent, { names: ["shop.example"] }),
  );
  assert.ok(gateway instanceof Gateway);
  const request = { method: "GET", authority: "shop.example", path: "/" };
  const signed = inheriting({ query: "x=1", content: "y" }, () => prove(agent, request));
  const input = signed.find(([name]) => name === "signature-input")[1];
  assert.match(input, /"@path"/);
  assert.equal(body.ran, 0);
  assert.equal(
    guard("payments:send", { ...PAY, agent: other }, body)({ total: "1.00", supplier: "acme" }),
    "ran",
  );
});

test("node_keeps_an_agent_open_as_long_as_something_acts_for_it", async () => {
  const agents = [];
  const issued = () => {
    const agent = new MemoryAuthority().issue({ actions: ["read:x"] });
    agents.push(new WeakRef(agent));
    return agent;
  };
  const held = [
    signedFetch(issued(), { fetch: async () => new Response("sent") }),
    Gateway.open(issued(), { names: ["shop.example"] }),
    guard("read:x", { agent: issued() }, () => "read"),
  ];
  issued();
  for (let round = 0; round < 100 && agents.at(-1).deref() !== undefined; round += 1) {
    // What a weak reference was asked for stays to the end of that turn.
    await sleep(10);
    globalThis.gc();
  }
  assert.equal(agents.pop().deref(), undefined, "nobody holds this one");
  assert.deepEqual(
    agents.map((agent) => agent.deref() !== undefined),
    [true, true, true],
  );
  const [send, gateway, read] = held;
  assert.equal(await (await send("http://shop.example/")).text(), "sent");
  assert.ok(gateway.agent.mayEver("read:x"));
  assert.equal(read(), "read");
});
