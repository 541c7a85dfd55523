// Row P18: tools of Vercel's `ai`, called by a model.

import assert from "node:assert/strict";
import { test } from "node:test";

import { generateText, stepCountIs, streamText, tool } from "ai";
import { MockLanguageModelV3, simulateReadableStream } from "ai/test";
import { guardTools, ScopeDenied, ToolDenied } from "kakunin-node";
import { z } from "zod";

import { setting } from "../table.mjs";

const RULE = { action: "payments:send", amount: "total", currency: "EUR", counterparty: "supplier" };
const ALLOWED = { supplier: "acme", total: "10000.00" };
const DENIED = [
  { supplier: "acme", total: "10000.01" },
  { supplier: "stranger", total: "1.00" },
  { supplier: "acme", total: "1e9" },
];
const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

function tools(options) {
  const { acting, body, agent } = setting();
  const pay = tool({
    description: "Pays a supplier.",
    inputSchema: z.object({ supplier: z.string(), total: z.string() }),
    execute: async () => body(),
  });
  return { acting, body, pay, guarded: guardTools({ pay }, { pay: RULE }, { agent, ...options }) };
}

/** A model that calls the tool with these inputs, all in one step, and then ends. */
function model(...inputs) {
  const calls = inputs.map((input, index) => ({
    type: "tool-call",
    toolCallId: `call-${index}`,
    toolName: "pay",
    input: JSON.stringify(input),
  }));
  const asks = { unified: "tool-calls", raw: undefined };
  const ends = { unified: "stop", raw: undefined };
  const turns = [
    { content: calls, finishReason: asks, usage: USAGE, warnings: [] },
    { content: [{ type: "text", text: "done" }], finishReason: ends, usage: USAGE, warnings: [] },
  ];
  let turn = 0;
  return new MockLanguageModelV3({
    doGenerate: async () => turns[Math.min(turn++, 1)],
    doStream: async () => {
      const { content, finishReason, usage } = turns[Math.min(turn++, 1)];
      const text = [
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "done" },
        { type: "text-end", id: "1" },
      ];
      const chunks = content[0].type === "text" ? text : content;
      return {
        stream: simulateReadableStream({ chunks: [...chunks, { type: "finish", finishReason, usage }] }),
      };
    },
  });
}

test("node_ai_tools_are_guarded_when_a_model_calls_them", async () => {
  const { body, guarded, pay } = tools();
  assert.equal(guarded.pay, pay);
  assert.equal(guarded.pay.inputSchema, pay.inputSchema);
  const ran = await generateText({
    model: model(...DENIED),
    tools: guarded,
    stopWhen: stepCountIs(2),
    prompt: "pay",
  });
  const errors = ran.steps[0].content.filter(({ type }) => type === "tool-error");
  assert.equal(errors.length, DENIED.length);
  for (const { error } of errors) {
    assert.ok(error instanceof ToolDenied && error.cause instanceof ScopeDenied, error);
    assert.doesNotMatch(error.message, /10000/);
    assert.match(error.message, /\[/);
  }
  const sent = JSON.stringify(ran.steps[0].response.messages);
  assert.match(sent, /scope\.amount/);
  assert.doesNotMatch(sent.replace(/"input":\{[^}]*\}/g, ""), /10000\.00/);
  assert.equal(body.ran, 0);
  await generateText({ model: model(ALLOWED), tools: guarded, stopWhen: stepCountIs(2), prompt: "pay" });
  assert.equal(body.ran, 1);
});

test("node_ai_tools_are_guarded_in_a_stream_and_in_parallel", async () => {
  const { body, guarded } = tools({ onDeny: "return" });
  const stream = streamText({
    model: model(...DENIED, ALLOWED),
    tools: guarded,
    stopWhen: stepCountIs(2),
    prompt: "pay",
    onError: ({ error }) => assert.fail(error),
  });
  const outputs = [];
  for await (const part of stream.fullStream) if (part.type === "tool-result") outputs.push(part.output);
  assert.equal(outputs.filter((output) => output === "ran").length, 1);
  assert.equal(outputs.filter((output) => /\[(scope|request)\./.test(output)).length, DENIED.length);
  assert.equal(body.ran, 1);
});

test("node_ai_tools_are_guarded_when_they_are_called_directly", async () => {
  const { body, guarded } = tools({ onDeny: (denied) => ({ refused: denied.code }) });
  const codes = [];
  for (const input of DENIED) codes.push((await guarded.pay.execute(input, {})).refused);
  assert.deepEqual(codes, ["scope.amount", "scope.counterparty", "request.amount_invalid"]);
  assert.equal(body.ran, 0);
});
