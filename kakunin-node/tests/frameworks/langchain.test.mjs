// Row P18: a tool of LangChain has many doors, and the guard is behind every one of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AIMessage } from "@langchain/core/messages";
import { RunnableLambda, RunnableMap } from "@langchain/core/runnables";
import { DynamicStructuredTool, DynamicTool, tool } from "@langchain/core/tools";
import { guardTools, ScopeDenied, ToolDenied } from "kakunin-node";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { z } from "zod";

import { setting } from "../table.mjs";

const RULE = { action: "payments:send", amount: "total", currency: "EUR", counterparty: "supplier" };
const ALLOWED = { supplier: "acme", total: "10000.00" };
const DENIED = [
  { supplier: "acme", total: "10000.01" },
  { supplier: "stranger", total: "1.00" },
  { supplier: "acme", total: "1e9" },
];
const schema = z.object({ supplier: z.string(), total: z.string() });

function made(kind, options = {}) {
  const { agent, body } = setting();
  const fields = { name: "pay", description: "Pays a supplier.", schema };
  const inner =
    kind === "tool"
      ? tool(async () => body(), fields)
      : new DynamicStructuredTool({ ...fields, func: async () => body() });
  const [pay] = guardTools([inner], { pay: RULE }, { agent, ...options });
  return { body, inner, pay };
}

async function last(stream) {
  let item;
  for await (item of await stream);
  return item;
}

const DOORS = {
  invoke: (t, a) => t.invoke(a),
  call: (t, a) => t.call(a),
  _call: (t, a) => t._call(a),
  func: (t, a) => t.func(a),
  batch: async (t, a) => (await t.batch([a]))[0],
  stream: (t, a) => last(t.stream(a)),
  withRetry: (t, a) => t.withRetry({ stopAfterAttempt: 2, onFailedAttempt: () => undefined }).invoke(a),
  withConfig: (t, a) => t.withConfig({ tags: ["x"] }).invoke(a),
  pipe: (t, a) =>
    RunnableLambda.from((x) => x)
      .pipe(t)
      .invoke(a),
  parallel: async (t, a) => (await RunnableMap.from({ one: t, two: t }).invoke(a)).one,
  "tool call": async (t, a) => (await t.invoke({ type: "tool_call", id: "1", name: "pay", args: a })).content,
};

test("node_langchain_tools_are_guarded_behind_every_door", async () => {
  for (const kind of ["tool", "class"]) {
    for (const [door, go] of Object.entries(DOORS)) {
      const { body, inner, pay } = made(kind);
      assert.ok(pay instanceof DynamicStructuredTool);
      assert.equal(pay.schema, inner.schema);
      for (const input of DENIED) {
        await assert.rejects(
          async () => go(pay, input),
          (error) => {
            assert.ok(error instanceof ToolDenied && error.cause instanceof ScopeDenied, `${door}: ${error}`);
            assert.doesNotMatch(error.message, /10000/);
            return true;
          },
        );
      }
      assert.equal(body.ran, 0, door);
      assert.equal(await go(pay, ALLOWED), "ran", door);
    }
  }
});

test("node_langchain_agents_hear_the_denial_and_the_tool_does_not_run", async () => {
  const { body, pay } = made("tool");
  const node = new ToolNode([pay]);
  const calls = [...DENIED, ALLOWED].map((args, index) => ({
    name: "pay",
    args,
    id: String(index),
    type: "tool_call",
  }));
  const { messages } = await node.invoke({ messages: [new AIMessage({ content: "", tool_calls: calls })] });
  assert.equal(messages.length, 4);
  assert.equal(messages.filter(({ status }) => status === "error").length, 3);
  for (const { content } of messages) assert.doesNotMatch(String(content), /10000\.00 EUR/);
  assert.equal(body.ran, 1);
});

test("node_langchain_tools_of_one_text_are_guarded_too", async () => {
  const { agent, body } = setting();
  const inner = new DynamicTool({ name: "read", description: "Reads.", func: async () => body() });
  const { read } = guardTools(
    { read: inner },
    { read: { action: "write:x", resource: (path) => path } },
    { agent },
  );
  for (const go of [(t) => t.invoke("x"), (t) => t.call("x"), (t) => t._call("x"), (t) => t.func("x")]) {
    await assert.rejects(async () => go(read), ToolDenied);
  }
  assert.equal(body.ran, 0);
});
