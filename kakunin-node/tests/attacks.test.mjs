// Rows P1 to P7, P13, P14, P16 and P17 of docs/attacks.md: no body may run.

import assert from "node:assert/strict";
import { test } from "node:test";

import { asWritten, const_, guard, guarded, runAs, verifyAgentScope } from "kakunin-node";
import { assertDenied, noAgent } from "kakunin-node/testing";

import { PAY, setting } from "./table.mjs";

const much = { supplier: "acme", total: "10000.01" };

test("node_denies_an_amount_over_the_limit_however_it_is_handed_over", async () => {
  const { agent, body, acting } = setting();
  const plain = guard("payments:send", PAY, () => body());
  const byDefault = guard("payments:send", PAY, (order = much) => body(order));
  const computed = guard(
    "payments:send",
    { ...PAY, amount: (_, total) => total, counterparty: (to) => to },
    body,
  );
  const nested = guard(
    "payments:send",
    { amount: "order.total", currency: "EUR", counterparty: "order.supplier" },
    body,
  );
  const rest = guard(
    "payments:send",
    { ...PAY, amount: (...all) => all[1], counterparty: (...all) => all[0] },
    (...all) => body(all),
  );
  class Desk {
    method = guard("payments:send", PAY, () => body());
    static fixed = guard("payments:send", PAY, () => body());
  }
  class Shown {
    get total() {
      return "10000.01";
    }
    supplier = "acme";
  }
  const ways = {
    plain: () => plain(much),
    "spread arguments": () => plain(...[much]),
    call: () => plain.call(null, much),
    apply: () => plain.apply(null, [much]),
    bind: () => plain.bind(null, much)(),
    reflect: () => Reflect.apply(plain, null, [much]),
    "selected by functions": () => computed("acme", "10000.01"),
    "bound partly": () => computed.bind(null, "acme")("10000.01"),
    "rest parameters": () => rest("acme", "10000.01"),
    nested: () => nested({ order: much }),
    method: () => new Desk().method(much),
    static: () => Desk.fixed(much),
    "a getter of a class": () => plain(new Shown()),
    "an inherited property": () => plain(Object.create(much)),
    "an object without prototype": () => plain(Object.assign(Object.create(null), much)),
    map: () => [much].map(plain),
    "a proxy": () => new Proxy(plain, {})(much),
    "guarded twice": () => guard("payments:send", PAY, plain)(much),
    "a written number": () =>
      guard("payments:send", { ...PAY, amount: asWritten("total") }, body)({ ...much, total: 10000.01 }),
    "minor units": () =>
      guard(
        "payments:send",
        { amountMinor: "total", currency: "EUR", counterparty: "supplier" },
        body,
      )({
        ...much,
        total: 1_000_001n,
      }),
    "its own agent": () => noAgent(() => guard("payments:send", { ...PAY, agent }, body)(much)),
  };
  for (const [way, call] of Object.entries(ways)) {
    const denied = acting(() => assertDenied("scope.amount", call));
    assert.equal(denied.limit, "10000.00 EUR", way);
  }
  // A default value is not seen: the first argument is missing, and so is the amount.
  acting(() => assertDenied("request.amount_missing", () => byDefault()));
  const later = guard("payments:send", PAY, async () => body());
  await acting(() => assertDenied("scope.amount", () => later(much)));
  assert.equal(body.ran, 0);
  assert.throws(() => Reflect.construct(plain, [much]), TypeError);
});

test("node_takes_no_text_that_is_no_plain_decimal", () => {
  const { body, acting } = setting();
  const pay = guard("payments:send", PAY, body);
  const texts = [
    "999,999",
    "1e9",
    "٣",
    " 5",
    "5 ",
    "5 EUR",
    "",
    "+5",
    "05",
    ".5",
    "5.",
    "1_000",
    "0x10",
    "1".repeat(20),
    "1".repeat(30),
    "1".repeat(1_000_000),
    "\ud800",
    "5\0",
    "５",
    "NaN",
    "Infinity",
    "-1",
    "9223372036854775808.00",
  ]; // prettier-ignore
  for (const total of texts) {
    acting(() => assertDenied("request.amount_invalid", () => pay({ supplier: "acme", total })));
  }
  assert.equal(body.ran, 0);
});

test("node_denies_what_is_no_exact_decimal_and_never_reads_a_zero", () => {
  const { body, acting } = setting();
  const pay = guard("payments:send", PAY, body);
  const values = [
    true,
    false,
    0,
    -0,
    5,
    12.5,
    -1,
    2 ** 63,
    2 ** 53 + 1,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    5n,
    Symbol("5"),
    Buffer.from("5"),
    ["5"],
    { amount: "5" },
    {},
    new String("5"),
    new Number(5),
    new Date(),
    () => "5",
    Promise.resolve("5"),
    { toString: () => "5", valueOf: () => 5, [Symbol.toPrimitive]: () => "5" },
    /5/,
  ]; // prettier-ignore
  for (const total of values) {
    acting(() => assertDenied("request.amount_invalid", () => pay({ supplier: "acme", total })));
  }
  const written = guard("payments:send", { ...PAY, amount: asWritten("total") }, body);
  for (const total of [
    -1,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    -0,
    2 ** 53 + 1,
    1e21,
    1e-7,
    0.1 + 0.2,
    true,
    10n ** 20n,
    ["5"],
  ]) {
    acting(() => assertDenied("request.amount_invalid", () => written({ supplier: "acme", total })));
  }
  assert.equal(body.ran, 0);
  for (const total of [5, 12.5, 5n, "12.50"]) acting(() => written({ supplier: "acme", total }));
  assert.equal(body.ran, 4);
});

test("node_denies_a_missing_amount_as_missing", () => {
  const { body, acting } = setting();
  const unselected = guard("payments:send", { currency: "EUR", counterparty: "supplier" }, body);
  const pay = guard("payments:send", PAY, body);
  const byFunction = guard(
    "payments:send",
    { ...PAY, amount: (order) => order?.total, counterparty: const_("acme") },
    body,
  );
  const nested = guard(
    "payments:send",
    { amount: "order.total", currency: "EUR", counterparty: const_("acme") },
    body,
  );
  const calls = [
    () => unselected({ supplier: "acme" }),
    () => pay({ supplier: "acme" }),
    () => pay({ supplier: "acme", total: null }),
    () => pay({ supplier: "acme", total: undefined }),
    () => byFunction(),
    () => nested({}),
    () => nested({ order: null }),
    () => nested(),
    () => nested(null),
  ];
  for (const call of calls) acting(() => assertDenied("request.amount_missing", call));
  assert.equal(body.ran, 0);
});

test("node_takes_minor_units_as_integers_of_64_bits", () => {
  const { body, acting } = setting();
  const pay = guard(
    "payments:send",
    { amountMinor: "cents", currency: "EUR", counterparty: const_("acme") },
    body,
  );
  const values = [
    true,
    false,
    5.5,
    "5",
    2 ** 53,
    2 ** 53 + 1,
    2n ** 63n,
    -(2n ** 63n) - 1n,
    -1,
    -1n,
    Number.NaN,
    Infinity,
    [5],
    {},
    new Number(5),
  ]; // prettier-ignore
  for (const cents of values) acting(() => assertDenied("request.amount_invalid", () => pay({ cents })));
  for (const cents of [1_000_001, 1_000_001n, Number.MAX_SAFE_INTEGER, 2n ** 63n - 1n]) {
    acting(() => assertDenied("scope.amount", () => pay({ cents })));
  }
  assert.equal(body.ran, 0);
  for (const cents of [1_000_000, 1_000_000n, 0]) acting(() => pay({ cents }));
  assert.equal(body.ran, 3);
});

test("node_does_not_round_more_decimals_than_the_limit", () => {
  const { body, acting } = setting();
  const pay = guard("payments:send", PAY, body);
  const written = guard("payments:send", { ...PAY, amount: asWritten("total") }, body);
  for (const total of ["1.005", "1.000", "0.001"]) {
    acting(() => assertDenied("request.amount_invalid", () => pay({ supplier: "acme", total })));
  }
  acting(() => assertDenied("request.amount_invalid", () => written({ supplier: "acme", total: 1.005 })));
  assert.equal(body.ran, 0);
});

test("node_takes_a_currency_to_the_letter", () => {
  const { body, acting } = setting();
  const pay = guard(
    "payments:send",
    { amount: "total", currency: "unit", counterparty: const_("acme") },
    body,
  );
  const cases = [
    [null, "request.currency_missing"],
    [undefined, "request.currency_missing"],
    ["eur", "request.currency_invalid"],
    ["EUR ", "request.currency_invalid"],
    ["ЕUR", "request.currency_invalid"],
    ["", "request.currency_invalid"],
    [978, "request.currency_invalid"],
    [Buffer.from("EUR"), "request.currency_invalid"],
    [["EUR"], "request.currency_invalid"],
    [new String("EUR"), "request.currency_invalid"],
    ["USD", "scope.currency"],
    ["EURO", "scope.currency"],
  ];
  // Twice: the second time a text that was allowed crosses as a number.
  for (let turn = 1; turn <= 2; turn += 1) {
    for (const [unit, code] of cases) {
      acting(() => assertDenied(code, () => pay({ total: "1.00", unit })));
    }
    acting(() => pay({ total: "1.00", unit: "EUR" }));
    assert.equal(body.ran, turn);
  }
});

test("node_takes_a_constant_currency_to_the_letter_too", () => {
  const { body, acting } = setting();
  for (const literal of ["eur", "EUR ", "ЕUR", ""]) {
    const rules = { amount: "total", currency: const_(literal), counterparty: const_("acme") };
    acting(() =>
      assertDenied("request.currency_invalid", () => guard("payments:send", rules, body)({ total: "1.00" })),
    );
  }
  assert.equal(body.ran, 0);
});

test("node_takes_a_counterparty_to_the_letter", () => {
  const { body, acting } = setting();
  const pay = guard("payments:send", PAY, body);
  class Friendly extends Set {
    *[Symbol.iterator]() {
      yield "acme";
    }
  }
  const cases = [
    [null, "request.counterparty_missing"],
    [undefined, "request.counterparty_missing"],
    [[], "request.counterparty_missing"],
    ["", "request.counterparty_invalid"],
    [{ name: "acme" }, "request.counterparty_invalid"],
    [Buffer.from("acme"), "request.counterparty_invalid"],
    [new Map([["acme", 1]]), "request.counterparty_invalid"],
    [7, "request.counterparty_invalid"],
    [new String("acme"), "request.counterparty_invalid"],
    [["acme", null], "request.counterparty_invalid"],
    [["acme", undefined], "request.counterparty_invalid"],
    [["acme", , "globex"], "request.counterparty_invalid"],
    [["acme", ["globex"]], "request.counterparty_invalid"],
    [`sha256:${"0".repeat(64)}`, "request.counterparty_invalid"],
    ["\ud800", "request.counterparty_invalid"],
    ["acme\udc00", "request.counterparty_invalid"],
    ["Acme", "scope.counterparty"],
    ["acme ", "scope.counterparty"],
    [" acme", "scope.counterparty"],
    ["acme\u200b", "scope.counterparty"],
    ["acme\0", "scope.counterparty"],
    ["аcme", "scope.counterparty"],
    ["stranger", "scope.counterparty"],
    [["acme", "stranger"], "scope.counterparty"],
    [["stranger", "acme"], "scope.counterparty"],
    [new Set(["acme", "stranger"]), "scope.counterparty"],
    [new Friendly(["stranger"]), "scope.counterparty"],
  ];
  for (let turn = 1; turn <= 2; turn += 1) {
    for (const [supplier, code] of cases) {
      acting(() => assertDenied(code, () => pay({ supplier, total: "1.00" })));
    }
    for (const supplier of ["acme", ["acme", "globex"], new Set(["acme"])])
      acting(() => pay({ supplier, total: "1.00" }));
    assert.equal(body.ran, 3 * turn);
  }
});

test("node_names_of_several_selectors_are_one_list", () => {
  const { body, acting } = setting();
  const pay = guard(
    "payments:send",
    { ...PAY, counterparty: ["supplier", "bank", (order) => order.others] },
    body,
  );
  const allowed = [{ supplier: "acme" }, { supplier: "acme", bank: null }, { others: ["acme", "globex"] }];
  const total = "1.00";
  for (const order of allowed) acting(() => pay({ ...order, total }));
  assert.equal(body.ran, allowed.length);
  const denied = [
    [{ supplier: "acme", bank: "" }, "request.counterparty_invalid"],
    [{ supplier: "acme", bank: 5 }, "request.counterparty_invalid"],
    [{ supplier: "acme", others: ["globex", 5] }, "request.counterparty_invalid"],
    [{ supplier: "acme", bank: "stranger" }, "scope.counterparty"],
    [{ supplier: "acme", others: new Set(["stranger"]) }, "scope.counterparty"],
    [{}, "request.counterparty_missing"],
  ];
  for (const [order, code] of denied) acting(() => assertDenied(code, () => pay({ ...order, total })));
  assert.equal(body.ran, allowed.length);
});

test("node_never_folds_or_trims_an_action", () => {
  const { body, acting } = setting();
  const actions = [
    "",
    ":",
    "payments:",
    ":send",
    "payments::send",
    "Payments:send",
    "payments:send ",
    " payments:send",
    "payments:*",
    "*",
    "payments:../send",
    "payments：send",
    "раyments:send",
    "payments:se\u200bnd",
    "payments/send",
    "a".repeat(1_000_000),
    "payments:send\n",
    "payments:send\0",
    "\ud800",
    "write:../x",
    "write::x",
    "write:*",
  ]; // prettier-ignore
  for (const action of actions) {
    const pay = guard(action, { amount: "total", currency: "EUR", counterparty: const_("acme") }, body);
    const denied = acting(() => assertDenied("request.action_invalid", () => pay({ total: "1.00" })));
    assert.ok(denied.message.length < 1000);
  }
  for (const action of ["payments", "payments:send:now", "write:x", "readx:a", "read"]) {
    acting(() => assertDenied("scope.action", () => guard(action, {}, body)()));
  }
  assert.equal(body.ran, 0);
});

test("node_denies_outside_the_hours", () => {
  const { body, acting, clock } = setting();
  const pay = guard("payments:send", PAY, body);
  for (const hours of [7, 12, 24 * 5]) {
    clock.advance(hours * 3600);
    acting(() => assertDenied("scope.hours", () => pay({ supplier: "acme", total: "1.00" })));
  }
  assert.equal(body.ran, 0);
});

// --- P13: kinds of functions ---

test("node_guards_a_generator_at_its_first_item", () => {
  const { agent, body } = setting();
  const produce = guard("write:x", {}, function* () {
    body();
    yield 1;
  });
  const items = produce();
  runAs(agent, () => assertDenied("scope.action", () => items.next()));
  assert.deepEqual(items.next(), { value: undefined, done: true });
  assert.equal(body.ran, 0);
});

test("node_guards_an_async_generator_at_its_first_item", async () => {
  const { agent, body } = setting();
  const produce = guard("write:x", {}, async function* () {
    body();
    yield 1;
  });
  const items = produce();
  await runAs(agent, () => assertDenied("scope.action", () => items.next()));
  assert.deepEqual(await items.next(), { value: undefined, done: true });
  assert.equal(body.ran, 0);
});

test("node_guards_a_function_that_returns_something_to_await_at_the_call", async () => {
  const { acting, body } = setting();
  const promised = guard("write:x", {}, () => Promise.resolve(body()));
  const thenable = guard("write:x", {}, () => ({ then: (use) => use(body()) }));
  const iterable = guard("write:x", {}, () => ({ [Symbol.asyncIterator]: () => body() }));
  for (const call of [promised, thenable, iterable]) acting(() => assertDenied("scope.action", () => call()));
  // Who says that it returns promises gets a rejection.
  const rejected = acting(() => guard("write:x", { promise: true }, () => Promise.resolve(body()))());
  assert.ok(rejected instanceof Promise);
  await assertDenied("scope.action", () => rejected);
  assert.equal(body.ran, 0);
});

test("node_rejects_and_does_not_throw_from_an_async_function", async () => {
  const { acting, body } = setting();
  const act = guard("write:x", {}, async () => body());
  const promise = acting(() => act());
  assert.ok(promise instanceof Promise);
  await assertDenied("scope.action", () => promise);
  assert.equal(body.ran, 0);
});

test("node_guards_methods_and_getters_by_the_decorator", () => {
  const { acting, body } = setting();
  const decorate = verifyAgentScope("write:x");
  const method = decorate(
    function act() {
      return body();
    },
    { kind: "method", name: "act" },
  );
  const getter = decorate(
    function () {
      return body();
    },
    { kind: "getter", name: "value" },
  );
  const legacy = decorate({}, "act", { value: body, writable: true, enumerable: false, configurable: true });
  for (const call of [method, getter, legacy.value])
    acting(() => assertDenied("scope.action", () => call.call({})));
  for (const kind of ["class", "field", "accessor"]) assert.throws(() => decorate(body, { kind }), TypeError);
  assert.throws(() => decorate(body), TypeError);
  assert.equal(body.ran, 0);
});

test("node_refuses_what_a_wrapper_cannot_cover", () => {
  class Desk {
    act() {}
  }
  for (const target of [Desk, class {}, {}, null, undefined, "act", 5, Promise, [() => 1]]) {
    assert.throws(() => guard("read:x", {}, target), TypeError);
  }
  assert.throws(
    () =>
      guard(
        () => 1,
        {},
        () => 1,
      ),
    TypeError,
  );
  assert.throws(() => guard("read:x", () => 1), TypeError);
  // What is no constructor any more cannot be one by way of the wrapper.
  const wrapped = guard("read:x", {}, function Old() {});
  assert.throws(() => new wrapped(), TypeError);
});

// --- P14: selectors ---

test("node_refuses_a_selector_that_cannot_be_right_when_it_is_guarded", () => {
  const wrong = [
    { amount: "" },
    { amount: "total." },
    { amount: ".total" },
    { amount: ["total"] },
    { counterparty: [] },
    { amount: 5 },
    { amount: 5.5 },
    { amount: true },
    { amount: const_(5) },
    { amount: const_(5.5) },
    { amount: {} },
    { currency: const_(5) },
    { counterparty: asWritten("supplier") },
    { amountMinor: asWritten("total") },
    { amount: "total", amountMinor: "total" },
    { amuont: "total" },
    { agent: "billing" },
    { agent: {} },
    { agent: null },
    { agentId: 5 },
    { promise: 1 },
    { amount: async () => "1" },
    { amount: function* () {} },
    { counterparty: ["supplier", 5] },
    { currency: ["EUR"] },
  ]; // prettier-ignore
  for (const rules of wrong) {
    assert.throws(
      () => guard("payments:send", rules, () => assert.fail("ran")),
      TypeError,
      JSON.stringify(rules),
    );
  }
  for (const rules of ["total", 5, []])
    assert.throws(() => guard("payments:send", rules, () => 1), TypeError);
  for (const selector of [5, null, undefined, const_("5")])
    assert.throws(() => asWritten(selector), TypeError);
});

test("node_denies_a_selector_that_fails", () => {
  const { acting, body } = setting();
  const order = {
    supplier: "acme",
    total: "1.00",
    unit: "EUR",
    get raises() {
      throw new Error("no");
    },
    text: "abc",
  };
  const fail = () => {
    throw new Error("no");
  };
  const endless = () => endless();
  const cases = [
    [{ amount: fail }, "request.amount_invalid"],
    [{ amount: endless }, "request.amount_invalid"],
    [{ amount: () => order.nothing.more }, "request.amount_invalid"],
    [{ amount: () => 5 }, "request.amount_invalid"],
    [{ amount: () => ({}) }, "request.amount_invalid"],
    [{ amount: () => Promise.resolve("1.00") }, "request.amount_invalid"],
    [{ amount: "raises" }, "request.amount_invalid"],
    [{ amount: "raises.total" }, "request.amount_invalid"],
    [{ amount: "text.length" }, "request.amount_invalid"],
    [{ counterparty: fail }, "request.counterparty_invalid"],
    [{ counterparty: () => 5 }, "request.counterparty_invalid"],
    [{ counterparty: ["raises", "supplier"] }, "request.counterparty_invalid"],
    [
      {
        counterparty: () => {
          throw { toString: fail };
        },
      },
      "request.counterparty_invalid",
    ],
    [{ currency: fail }, "request.currency_invalid"],
    [{ currency: "raises" }, "request.currency_invalid"],
    [{ resource: fail }, "request.resource_invalid"],
  ]; // prettier-ignore
  for (const [rules, code] of cases) {
    const pay = guard("payments:send", { ...PAY, ...rules }, body);
    acting(() => assertDenied(code, () => pay(order)));
  }
  acting(() => assertDenied("request.amount_invalid", () => guard("payments:send", PAY, body)("acme")));
  assert.equal(body.ran, 0);
});

// --- P8, P16, P17 ---

test("node_denies_everything_without_an_agent", () => {
  const { agent, authority, body } = setting();
  const act = guard("read:x", {}, body);
  const denied = noAgent(() => assertDenied("agent.missing", () => act()));
  assert.equal(denied.receipt, null);
  const other = authority.issue({ actions: ["read:*"] });
  const bound = guard("read:x", { agentId: agent.agentId }, body);
  runAs(other, () => assertDenied("agent.mismatch", () => bound()));
  for (const agentId of ["", "nobody", agent.agentId.toUpperCase()]) {
    runAs(agent, () => assertDenied("agent.mismatch", () => guard("read:x", { agentId }, body)()));
  }
  assert.equal(body.ran, 0);
  runAs(agent, () => bound());
  assert.equal(body.ran, 1);
});

test("node_takes_no_copy_of_an_agent", () => {
  const { agent, body } = setting();
  for (const copy of [
    structuredClone(agent),
    { ...agent },
    Object.create(agent),
    JSON.parse(JSON.stringify(agent)),
    null,
  ]) {
    assert.throws(() => runAs(copy, body), TypeError);
    assert.throws(() => guard("read:x", { agent: copy }, body), TypeError);
  }
  const Agent = agent.constructor;
  assert.throws(() => new Agent(Symbol("opened"), 1, ""), TypeError);
  assert.equal(body.ran, 0);
});

test("node_answers_a_dry_check_without_running", () => {
  const { agent, acting, body } = setting();
  const pay = guard("payments:send", PAY, body);
  const over = acting(() => guarded(pay).check(much));
  assert.deepEqual([over.allowed, over.code, over.limit], [false, "scope.amount", "10000.00 EUR"]);
  assert.equal(acting(() => pay.guarded.check({ supplier: "acme", total: "1.00" })).allowed, true);
  assert.equal(
    agent.check("payments:send", { amountMinor: 5n, currency: "EUR", counterparty: ["acme"] }).allowed,
    true,
  );
  const night = new Date("2026-11-23T20:00:00Z");
  assert.equal(agent.check("read:x", { at: night }).code, "scope.hours");
  assert.throws(() => agent.check("payments:send", { amount: "1", amountMinor: 1 }), TypeError);
  assert.throws(() => agent.check("payments:send", { amuont: "1" }), TypeError);
  assert.equal(body.ran, 0);
});

test("node_says_how_to_help_in_its_own_words", () => {
  const { acting, body, agent } = setting();
  const pay = guard("payments:send", PAY, body);
  const cases = [
    [() => noAgent(() => pay(much)), "agent.missing", /runAs\(agent, fn\)/],
    [() => acting(() => pay({ ...much, total: 5 })), "request.amount_invalid", /amountMinor/],
    [() => acting(() => pay({ supplier: "acme" })), "request.amount_missing", /name the property/],
    [() => acting(() => pay({ total: "1.00" })), "request.counterparty_missing", /name the property/],
  ];
  for (const [call, code, words] of cases) {
    const denied = assertDenied(code, call);
    assert.match(denied.fix, words);
    assert.ok(denied.message.includes(denied.fix), denied.message);
    assert.doesNotMatch(denied.message + denied.fix, /from_dir|Decimal|parameter|amount_minor|agent_context/);
  }
  const dry = agent.check("payments:send", { currency: "EUR", counterparty: "acme" });
  assert.match(dry.fix, /name the property/);
  assert.equal(body.ran, 0);
});
