// P18: tools without a framework, and what guardTools refuses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { guard, guardTools, ToolDenied } from "kakunin-node";

import { PAY, setting } from "./table.mjs";

const RULE = { action: "payments:send", amount: "total", currency: "EUR", counterparty: "supplier" };
const much = { supplier: "acme", total: "10000.01" };

test("node_guards_the_body_of_a_tool_wherever_it_is_kept", async () => {
  for (const where of ["execute", "func", "callback", "handler"]) {
    const { agent, body } = setting();
    class Tool {
      name = "pay";
      other = 1;
      run(input) {
        return this[where](input);
      }
    }
    const tool = Object.assign(new Tool(), { [where]: async () => body() });
    const { pay } = guardTools({ pay: tool }, { pay: RULE }, { agent });
    assert.ok(pay instanceof Tool && pay.other === 1 && pay === tool);
    await assert.rejects(pay.run(much), ToolDenied);
    await assert.rejects(pay[where](much), ToolDenied);
    assert.throws(() => {
      pay[where] = () => body();
    }, TypeError);
    assert.equal(body.ran, 0);
    assert.equal(await pay.run({ supplier: "acme", total: "1.00" }), "ran");
  }
});

test("node_guards_every_body_of_a_tool_and_what_was_bound_to_it_before", async () => {
  const { agent, body } = setting();
  class Tool {
    name = "pay";
    execute = () => body();
    handler = () => body();
    run = (input) => this.execute(input);
    callback(input) {
      return this.handler(input);
    }
  }
  const tool = new Tool();
  const { run } = tool;
  const bound = tool.callback.bind(tool);
  const known = { pay: tool };
  const [pay] = guardTools([tool], { pay: RULE }, { agent });
  assert.equal(pay, tool);
  const doors = [pay.execute, pay.handler, pay.run, pay.callback, run, bound, known.pay.execute];
  for (const door of doors) assert.throws(() => door.call(tool, much), ToolDenied);
  assert.equal(body.ran, 0);
  assert.equal(run({ supplier: "acme", total: "1.00" }), "ran");
});

test("node_refuses_tools_whose_body_cannot_be_replaced", () => {
  const { agent, body } = setting();
  const execute = () => body();
  const fixed = Object.defineProperty({}, "execute", { get: () => execute });
  const stubborn = new Proxy({ execute }, { defineProperty: () => false });
  for (const pay of [Object.freeze({ execute }), fixed, stubborn]) {
    assert.throws(() => guardTools({ pay }, { pay: RULE }, { agent }), TypeError);
  }
  const [pay, other] = [{ execute }, { execute }];
  assert.throws(() => guardTools({ pay, other }, { pay: RULE, other: {} }, { agent }), TypeError);
  assert.equal(pay.execute, execute, "no tool is changed before all rules were looked at");
  guardTools({ pay }, { pay: RULE }, { agent });
  assert.throws(() => guardTools({ pay }, { pay: null, other: RULE }, { agent }), TypeError);
  assert.throws(() => guardTools({ pay }, { pay: RULE }, { agent }), /guarded already/);
});

test("node_answers_a_denied_generator_without_its_limits", async () => {
  const { agent, body } = setting();
  const rules = { steps: RULE, later: RULE, handed: RULE };
  const inner = guard("payments:send", { ...PAY, agent }, () => body());
  const tools = () => ({
    *steps() {
      yield body();
    },
    async *later() {
      yield body();
    },
    handed: () =>
      (function* () {
        yield "begun";
        yield inner({ ...much });
      })(),
  });
  const items = async (of) => {
    const seen = [];
    for await (const item of of) seen.push(item);
    return seen;
  };
  const told = (error) => error instanceof ToolDenied && !error.message.includes("10000");
  const thrown = guardTools(tools(), rules, { agent });
  await assert.rejects(items(thrown.steps(much)), told);
  await assert.rejects(items(thrown.later(much)), told);
  await assert.rejects(items(thrown.handed({ supplier: "acme", total: "1.00" })), told);
  const returned = guardTools(tools(), rules, { agent, onDeny: "return" });
  for (const name of ["steps", "later"]) {
    const [text, ...more] = await items(returned[name](much));
    assert.match(text, /scope\.amount/);
    assert.doesNotMatch(text, /10000/);
    assert.deepEqual(more, []);
  }
  assert.equal(body.ran, 0);
  const allowed = { supplier: "acme", total: "1.00" };
  assert.deepEqual(await items(returned.steps(allowed)), ["ran"]);
  assert.deepEqual(await items(returned.later(allowed)), ["ran"]);
});

test("node_answers_a_denied_tool_as_it_is_told", async () => {
  const { agent, body } = setting();
  const tools = { plain: () => body(), later: async () => body() };
  const rules = { plain: RULE, later: RULE };
  const thrown = guardTools(tools, rules, { agent });
  assert.throws(() => thrown.plain(much), ToolDenied);
  await assert.rejects(thrown.later(much), (error) => {
    assert.equal(error.message, error.cause.forModel());
    assert.deepEqual([error.code, error.decisionId], [error.cause.code, error.cause.decisionId]);
    return !error.message.includes("10000");
  });
  const returned = guardTools(tools, rules, { agent, onDeny: "return" });
  assert.match(returned.plain(much), /scope\.amount/);
  assert.match(await returned.later(much), /scope\.amount/);
  const made = guardTools(tools, rules, { agent, onDeny: ({ code }) => ({ isError: true, code }) });
  assert.deepEqual(await made.later(much), { isError: true, code: "scope.amount" });
  assert.equal(body.ran, 0);
  // What is no denial is not answered for.
  const broken = guardTools(
    {
      plain: () => {
        throw new Error("mine");
      },
    },
    { plain: "read:x" },
    { agent, onDeny: "return" },
  );
  assert.throws(() => broken.plain(), /mine/);
});

test("node_refuses_tools_without_a_rule_and_rules_without_a_tool", () => {
  const pay = () => assert.fail("ran");
  const wrong = [
    [{ pay }, {}],
    [{ pay }, { pay: undefined }],
    [{ pay }, { pay: RULE, py: RULE }],
    [{ pay: {} }, { pay: RULE }],
    [{ pay: null }, { pay: RULE }],
    [{ pay: "x" }, { pay: RULE }],
    [[{ execute: pay }], { pay: RULE }],
    [[pay, pay], { pay: RULE }],
    [null, {}],
    [{ pay }, null],
    [{ pay }, { pay: { ...RULE, amuont: "x" } }],
    [{ pay }, { pay: { amount: "total" } }],
    [{ pay }, { pay: RULE }, { onDeny: "ignore" }],
    [{ pay }, { pay: RULE }, { ondeny: "return" }],
    [{ toString: pay }, {}],
  ];
  for (const args of wrong) assert.throws(() => guardTools(...args), TypeError, JSON.stringify(args));
  assert.equal(guardTools({ pay }, { pay: null }).pay, pay);
});
