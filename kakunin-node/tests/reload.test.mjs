// Row P25: the JavaScript of the package is evaluated twice in one environment.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const FOLDER = require.resolve("kakunin-node").replace(/index\.js$/, "");

/** What a test runner or a hot reload does: the native half stays as it is. */
function again() {
  for (const file of Object.keys(require.cache)) if (file.startsWith(FOLDER)) delete require.cache[file];
  return { ...require("kakunin-node"), ...require("kakunin-node/testing") };
}

const SCOPE = {
  actions: ["payments:send"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_action: "10.00" }],
};

test("node_judges_by_its_own_values_when_its_code_is_there_twice", () => {
  const first = again();
  const pay = (of, agent, ran) =>
    of.guard("payments:send", { amount: "amount", currency: "EUR", agent }, () => ran.push(1));
  const ran = [];
  const send = pay(first, new first.MemoryAuthority().issue(SCOPE), ran);
  send({ amount: "1.00" });
  assert.equal(ran.splice(0).length, 1);
  const second = again();
  assert.notEqual(second.guard, first.guard);
  const read = second.guard(
    "read:x",
    { agent: new second.MemoryAuthority().issue({ actions: ["read:x"] }) },
    () => "read",
  );
  const table = [
    [{ amount: "999999.00" }, "scope.amount"],
    [{ amount: "-5 not money" }, "request.amount_invalid"],
    [{ amount: "10.001" }, "request.amount_invalid"],
    [{}, "request.amount_missing"],
  ];
  for (const [order, code] of table) {
    // Each copy says what it says whichever was asked last.
    assert.equal(read(), "read");
    first.assertDenied(code, () => send(order));
    first.assertDenied(code, () => send(order));
  }
  assert.deepEqual(ran, []);
  send({ amount: "10.00" });
  assert.equal(ran.length, 1);
});

test("a_denial_of_one_copy_is_a_denial_for_the_other", () => {
  const [first, second] = [again(), again()];
  assert.notEqual(first.ScopeDenied, second.ScopeDenied);
  const denied = first.assertDenied("agent.missing", () => first.guard("read:x", {}, () => 1)());
  for (const of of [first, second]) {
    for (const kind of [of.KakuninError, of.ScopeDenied, of.AgentDenied]) assert.ok(denied instanceof kind);
    for (const kind of [of.ScopeExceeded, of.NotExecuted, of.ToolDenied, of.ConnectError]) {
      assert.ok(!(denied instanceof kind), kind.name);
    }
    for (const none of [null, undefined, "denied", {}, new Error("denied"), { ...denied }]) {
      assert.ok(!(none instanceof of.ScopeDenied));
    }
  }
  // Whoever derives a class has one of its own.
  class Mine extends second.ScopeDenied {}
  assert.ok(
    !(denied instanceof Mine) && new Mine() instanceof Mine && new Mine() instanceof first.ScopeDenied,
  );
  // What one copy counted as not executed another one counts as spent: it cannot know for which action it was said.
  const agent = new second.MemoryAuthority().issue({
    actions: ["payments:send"],
    limit: [{ for: ["payments:send"], currency: "EUR", per_action: "10.00", per_day: "10.00" }],
  });
  const pay = second.guard("payments:send", { amount: "amount", currency: "EUR", agent }, () => {
    throw new first.NotExecuted();
  });
  assert.throws(() => pay({ amount: "10.00" }), first.NotExecuted);
  second.assertDenied("budget.window", () => pay({ amount: "10.00" }));
});
