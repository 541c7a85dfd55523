// P22 to P24: how values cross into the native half must not matter.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { asWritten, chain, guard, ScopeDenied } from "kakunin-node";
import { assertDenied } from "kakunin-node/testing";

import { PAY, setting } from "./table.mjs";

const native = createRequire(import.meta.url)("../js/native.js");

/** What a call is answered: `ran`, or the code of its denial. */
function answer(call) {
  try {
    return call();
  } catch (error) {
    assert.ok(error instanceof ScopeDenied, error);
    return error.code;
  }
}

test("node_answers_the_same_whichever_way_values_cross", () => {
  const { agent } = setting();
  const pieces = [
    "",
    "0",
    "1",
    "10000",
    "10000.00",
    "10000.01",
    ".",
    "-",
    "e9",
    " ",
    "٣",
    "0.005",
    "5\0",
    "9".repeat(23),
    "9".repeat(24),
    "9".repeat(25),
    "\ud800",
    true,
    5,
    12.5,
    5n,
    -0,
    Number.NaN,
    2 ** 53,
    null,
    undefined,
    ["5"],
    {},
  ]; // prettier-ignore
  const names = [
    "acme",
    "globex",
    "stranger",
    "",
    "acme ",
    "ACME",
    "\ud800",
    "a".repeat(300),
    null,
    undefined,
    7,
    ["acme"],
    ["acme", "stranger"],
    new Set(["globex"]),
    [],
    {},
  ]; // prettier-ignore
  const units = ["EUR", "USD", "eur", "", null, undefined, 5];
  let state = 7;
  const pick = (list) => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return list[(state >> 8) % list.length];
  };
  const rules = { currency: "unit", counterparty: "to", agent };
  const kinds = [
    { ...rules, amount: "total" },
    { ...rules, amount: asWritten("total") },
    { ...rules, amountMinor: "total" },
  ].map((selectors) => guard("payments:send", selectors, () => "ran"));
  const seen = new Set();
  let crossings = 0;
  const { check } = native;
  native.check = (...args) => {
    crossings += 1;
    return check(...args);
  };
  try {
    for (let turn = 0; turn < 3_000; turn += 1) {
      const order = { total: pick(pieces), to: pick(names), unit: pick([...units, "EUR", "EUR", "EUR"]) };
      const pay = pick(kinds);
      const outside = answer(() => pay(order));
      const inside = chain(() => answer(() => pay(order)));
      assert.equal(outside, inside, `${String(order.total)} ${String(order.to)} ${String(order.unit)}`);
      seen.add(outside);
    }
  } finally {
    native.check = check;
  }
  for (const one of [
    "ran",
    "scope.amount",
    "scope.counterparty",
    "scope.currency",
    "request.amount_invalid",
    "request.amount_missing",
  ]) {
    assert.ok(seen.has(one), one);
  }
  assert.ok(crossings > 3_000 && crossings < 6_000, "both ways were taken");
});

test("node_goes_on_when_its_table_of_names_is_full", () => {
  const { agent } = setting({ actions: ["read:*"] });
  const read = guard("read:x", { agent, resource: "path" }, () => "ran");
  const denied = guard("write:x", { agent, resource: "path" }, () => "ran");
  for (let number = 0; number < 17_000; number += 1) {
    assert.equal(read({ path: `file-${number}` }), "ran");
  }
  for (const number of [0, 1, 16_500, 16_999]) {
    assert.equal(read({ path: `file-${number}` }), "ran");
    assertDenied("scope.action", () => denied({ path: `file-${number}` }));
  }
});

test("node_judges_names_by_what_a_container_holds", () => {
  const { acting, body } = setting();
  const pay = guard("payments:send", PAY, body);
  class Shown extends Array {
    *[Symbol.iterator]() {
      yield "acme";
    }
    every() {
      return true;
    }
    map() {
      return ["acme"];
    }
  }
  class Friendly extends Set {
    forEach(use) {
      use("acme");
    }
    get size() {
      return 0;
    }
  }
  const turning = new Proxy(["acme"], {
    get: (target, key) => (key === "0" ? turns.shift() : Reflect.get(target, key)),
  });
  const turns = ["stranger", "acme", "acme"];
  for (const supplier of [Shown.from(["stranger"]), new Friendly(["stranger"]), turning]) {
    acting(() => assertDenied("scope.counterparty", () => pay({ supplier, total: "1.00" })));
  }
  assert.equal(body.ran, 0);
});

test("node_a_selector_that_calls_guarded_functions_changes_nothing", () => {
  const { agent, body } = setting();
  const cheap = guard("payments:send", { ...PAY, agent }, () => "1.00");
  const fine = { supplier: "acme", total: "1.00" };
  cheap(fine);
  cheap(fine);
  const order = {
    supplier: "acme",
    get total() {
      cheap(fine);
      return "10000.01";
    },
  };
  const pay = guard("payments:send", { ...PAY, agent }, body);
  assertDenied("scope.amount", () => pay(order));
  const inner = guard(
    "payments:send",
    { ...PAY, counterparty: () => (cheap(fine) === "" ? "acme" : "stranger"), agent },
    body,
  );
  assertDenied("scope.counterparty", () => inner(fine));
  const denied = guard("write:x", { agent }, body);
  const throwing = guard("payments:send", { ...PAY, amount: () => denied(), agent }, body);
  assertDenied("request.amount_invalid", () => throwing(fine));
  assert.equal(body.ran, 0);
});

test("node_answers_huge_values", () => {
  const { acting, body } = setting();
  const pay = guard("payments:send", { ...PAY, currency: "unit" }, body);
  const huge = "9".repeat(20_000_000);
  const fine = { supplier: "acme", total: "1.00", unit: "EUR" };
  acting(() => assertDenied("request.amount_invalid", () => pay({ ...fine, total: huge })));
  acting(() => assertDenied("request.currency_invalid", () => pay({ ...fine, unit: huge })));
  const name = answer(() => acting(() => pay({ ...fine, supplier: huge })));
  assert.match(name, /^(request\.counterparty_invalid|scope\.counterparty)$/);
  const many = Array.from({ length: 1_000_000 }, () => "acme");
  many.push("stranger");
  const crowd = answer(() => acting(() => pay({ ...fine, supplier: many })));
  assert.match(crowd, /^(request\.counterparty_invalid|scope\.counterparty)$/);
  assert.equal(body.ran, 0);
});
