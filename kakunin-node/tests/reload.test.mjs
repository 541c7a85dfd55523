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
