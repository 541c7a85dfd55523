// P13 and P21: how actions end, also those that end later than the function that was called.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { guard, NotExecuted } from "kakunin-node";
import { assertDenied } from "kakunin-node/testing";

import { setting } from "./table.mjs";

const native = createRequire(import.meta.url)("../js/native.js");

/** One payment of 60 fits into the window, two do not: what is spent shows in the next decision. */
const SCOPE = {
  actions: ["payments:send", "read:*"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_action: "100.00", per_day: "100.00" }],
};
const PAY = { amount: "total", currency: "EUR" };
const order = { total: "60.00" };

function desk() {
  const { acting, agent } = setting(SCOPE);
  const spent = () => {
    try {
      acting(() =>
        guard("payments:send", PAY, () => {
          throw new NotExecuted();
        })(order),
      );
    } catch (error) {
      if (error.code === "budget.window") return true;
      assert.ok(error instanceof NotExecuted, error);
      return false;
    }
    return assert.fail("a body that throws returned");
  };
  const pay =
    (fn, rules = {}) =>
    (...args) =>
      acting(() => guard("payments:send", { ...PAY, agent, ...rules }, fn)(...args));
  return { acting, spent, pay };
}

const running = () => native.countRunning();

test("node_keeps_what_an_action_spent_unless_it_says_that_it_did_not_happen", async () => {
  const failing = () => {
    throw new Error("half way");
  };
  const aborted = () => {
    throw new DOMException("stop", "AbortError");
  };
  const taken = () => {
    throw new NotExecuted("not now");
  };
  for (const [fn, stays] of [
    [() => 1, true],
    [failing, true],
    [aborted, true],
    [taken, false],
  ]) {
    const { spent, pay } = desk();
    try {
      pay(fn)(order);
    } catch (error) {
      assert.ok(fn !== desk);
      assert.ok(error instanceof Error);
    }
    assert.equal(spent(), stays, String(fn));
    const later = desk();
    await later
      .pay(async () => fn())(order)
      .catch(() => undefined);
    assert.equal(later.spent(), stays, `async ${fn}`);
  }
});

test("node_holds_a_budget_until_the_promise_settles", async () => {
  const { spent, pay } = desk();
  const before = running();
  let settle;
  const promise = pay(
    () =>
      new Promise((_, reject) => {
        settle = reject;
      }),
  )(order);
  assert.equal(running(), before + 1);
  assert.ok(spent());
  settle(new NotExecuted());
  await assert.rejects(promise, NotExecuted);
  assert.equal(running(), before);
  assert.equal(spent(), false);
});

test("node_hands_on_the_value_and_the_error_of_a_promise", async () => {
  const { acting } = setting(SCOPE);
  const act = (fn) => acting(() => guard("read:x", {}, fn)());
  assert.equal(await act(async () => "value"), "value");
  const error = new Error("mine");
  await assert.rejects(
    act(async () => {
      throw error;
    }),
    (out) => out === error,
  );
  await assert.rejects(
    act(() => Promise.reject(error)),
    (out) => out === error,
  );
});

test("node_leaves_a_rejection_that_nobody_looks_at_unhandled_once", () => {
  const script = `
    import { guard, runAs } from "kakunin-node";
    import { MemoryAuthority } from "kakunin-node/testing";
    const agent = new MemoryAuthority().issue({ actions: ["read:*"] });
    process.on("unhandledRejection", (reason) => console.log("unhandled", reason.message));
    runAs(agent, () => guard("read:x", {}, () => Promise.reject(new Error("mine")))());
    runAs(agent, () => guard("read:x", {}, async () => { throw new Error("seen"); })()).catch(() => console.log("caught"));
  `;
  const ran = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.deepEqual(ran.stdout.trim().split("\n").sort(), ["caught", "unhandled mine"], ran.stderr);
});

test("node_ends_a_thenable_when_it_settles_and_begins_it_when_it_is_asked", async () => {
  const { spent, pay } = desk();
  class Query {
    #filters = [];
    begun = 0;
    where(filter) {
      this.#filters.push(filter);
      return this;
    }
    get size() {
      return this.#filters.length;
    }
    then(onValue, onError) {
      this.begun += 1;
      return Promise.reject(new NotExecuted()).then(onValue, onError);
    }
  }
  const inner = new Query();
  const before = running();
  const query = pay(() => inner)(order);
  assert.equal(inner.begun, 0, "a query that nobody awaits does not begin");
  assert.equal(query.where("a").where("b").size, 2);
  assert.ok(query instanceof Query);
  assert.equal(running(), before + 1);
  await assert.rejects(async () => await query, NotExecuted);
  assert.deepEqual([inner.begun, running()], [1, before]);
  assert.equal(spent(), false);
});

test("node_begins_a_thenable_once_however_often_it_is_asked", async () => {
  const { pay } = desk();
  let begun = 0;
  const inner = {
    then(onValue) {
      begun += 1;
      onValue(begun);
    },
    catch() {
      return this.then(() => {});
    },
  };
  const query = pay(() => inner)(order);
  assert.equal(begun, 0);
  assert.deepEqual(await Promise.all([query, query, query.catch(() => {})]), [1, 1, 1]);
  assert.equal(await query, 1);
  assert.equal(await query.then((value) => value + 1), 2);
  assert.equal(begun, 1);
});

test("node_ends_a_generator_when_it_is_exhausted_or_left", () => {
  const counting = function* (input) {
    try {
      const got = yield input.total;
      yield got;
      return "end";
    } finally {
      counting.left += 1;
    }
  };
  counting.left = 0;
  for (const make of [counting, (input) => counting(input)]) {
    const { pay, spent } = desk();
    const before = running();
    const items = pay(make)(order);
    assert.deepEqual(items.next(), { value: "60.00", done: false });
    assert.equal(running(), before + 1);
    assert.deepEqual(items.next("sent"), { value: "sent", done: false });
    assert.deepEqual(items.next(), { value: "end", done: true });
    assert.equal(running(), before);
    assert.ok(spent());

    const left = desk();
    for (const _ of left.pay(make)(order)) break;
    assert.equal(running(), before, "left by its caller");
    assert.ok(left.spent());
  }
  assert.equal(counting.left, 4);
});

test("node_ends_an_async_generator_when_it_is_exhausted_or_left", async () => {
  const counting = async function* (input) {
    const got = yield input.total;
    await null;
    yield got;
    return "end";
  };
  for (const make of [counting, (input) => counting(input)]) {
    const { pay, spent } = desk();
    const before = running();
    const items = pay(make)(order);
    assert.deepEqual(await items.next(), { value: "60.00", done: false });
    assert.equal(running(), before + 1);
    assert.deepEqual(await items.next("sent"), { value: "sent", done: false });
    assert.deepEqual(await items.next(), { value: "end", done: true });
    assert.equal(running(), before);
    assert.ok(spent());
    const left = desk();
    for await (const _ of left.pay(make)(order)) break;
    assert.equal(running(), before);
  }
});

test("node_takes_the_word_of_a_generator_and_not_that_of_its_caller", async () => {
  const own = function* () {
    yield 1;
    throw new NotExecuted();
  };
  const first = desk();
  const items = first.pay(own)(order);
  items.next();
  assert.throws(() => items.next(), NotExecuted);
  assert.equal(first.spent(), false, "its own word");

  const passive = function* () {
    yield 1;
  };
  const second = desk();
  const others = second.pay(passive)(order);
  others.next();
  assert.throws(() => others.throw(new NotExecuted()), NotExecuted);
  assert.ok(second.spent(), "the caller's word");

  const third = desk();
  const later = third.pay(async function* () {
    yield 1;
  })(order);
  await later.next();
  await assert.rejects(later.throw(new NotExecuted()), NotExecuted);
  assert.ok(third.spent(), "the caller's word, later");
});

test("node_takes_back_the_innermost_action_only", async () => {
  const { acting } = setting({
    actions: ["payments:send", "payments:order"],
    limit: [
      { for: ["payments:send"], currency: "EUR", per_day: "60.00" },
      { for: ["payments:order"], currency: "EUR", per_day: "60.00" },
    ],
  });
  const take = () => {
    throw new NotExecuted();
  };
  const inner = guard("payments:send", PAY, take);
  const outer = guard("payments:order", PAY, () => inner(order));
  acting(() => assert.throws(() => outer(order), NotExecuted));
  acting(() => assert.throws(() => inner(order), NotExecuted));
  acting(() => assertDenied("budget.window", () => outer(order)));

  const both = setting(SCOPE);
  const again = guard("payments:send", PAY, take);
  both.acting(() => assert.throws(() => again(order), NotExecuted));
  both.acting(() => assert.throws(() => again(order), NotExecuted));
});

test("node_counts_a_result_that_nobody_holds_as_unknown", async () => {
  assert.equal(typeof globalThis.gc, "function", "run with --expose-gc");
  const { pay, spent } = desk();
  const before = running();
  (() => {
    pay(() => new Promise(() => undefined))(order);
  })();
  for (let turn = 0; turn < 100 && running() > before; turn += 1) {
    globalThis.gc();
    await sleep(5);
  }
  assert.equal(running(), before);
  assert.ok(spent(), "what is unknown stays spent");
});

test("node_keeps_this_and_the_shape_of_a_function", () => {
  const { acting } = setting(SCOPE);
  function act(one, two) {
    return [this, one, two];
  }
  const guarded = guard("read:x", {}, act);
  const self = {};
  assert.deepEqual(
    acting(() => guarded.call(self, 1, 2)),
    [self, 1, 2],
  );
  assert.deepEqual([guarded.name, guarded.length], ["act", 2]);
  assert.equal(guarded.guarded.action, "read:x");
  for (const fn of [async () => 1, function* () {}, async function* () {}]) {
    const made = guard("read:x", {}, fn);
    if (fn.constructor.name !== "AsyncFunction")
      assert.equal(Object.getPrototypeOf(made), Object.getPrototypeOf(fn));
  }
});
