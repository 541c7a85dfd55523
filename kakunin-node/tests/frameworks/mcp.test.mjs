// Row P18: handlers of an MCP server, called by a client in the same process.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { chain, chainHeaders, chainMeta, guard, guardTools } from "kakunin-node";
import { z } from "zod";

import { setting } from "../table.mjs";

const RULE = { action: "payments:send", amount: "total", currency: "EUR", counterparty: "supplier" };
const DENIED = [
  [{ supplier: "acme", total: "10000.01" }, /scope\.amount/],
  [{ supplier: "stranger", total: "1.00" }, /scope\.counterparty/],
  [{ supplier: "acme", total: "1e9" }, /request\.amount_invalid/],
];

async function connected(handler) {
  const server = new McpServer({ name: "billing", version: "1.0.0" });
  const inputSchema = { supplier: z.string(), total: z.string() };
  server.registerTool("pay", { description: "Pays a supplier.", inputSchema }, handler);
  const client = new Client({ name: "test", version: "1.0.0" });
  const [one, two] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(one), client.connect(two)]);
  return client;
}

test("node_mcp_handlers_are_guarded_and_tell_a_client_no_limit", async () => {
  for (const kind of ["async", "plain"]) {
    const { agent, body } = setting();
    const answer = () => ({ content: [{ type: "text", text: body() }] });
    const { pay } = guardTools(
      { pay: kind === "async" ? async () => answer() : answer },
      { pay: RULE },
      { agent },
    );
    const client = await connected(pay);
    for (const [input, code] of DENIED) {
      const told = await client.callTool({ name: "pay", arguments: input });
      assert.equal(told.isError, true);
      assert.match(told.content[0].text, code);
      assert.doesNotMatch(told.content[0].text, /10000/);
    }
    assert.equal(body.ran, 0);
    const done = await client.callTool({ name: "pay", arguments: { supplier: "acme", total: "10000.00" } });
    assert.equal(done.content[0].text, "ran");
    const many = Array.from({ length: 8 }, () => client.callTool({ name: "pay", arguments: DENIED[0][0] }));
    for (const told of await Promise.all(many)) assert.equal(told.isError, true);
    assert.equal(body.ran, 1);
    await client.close();
  }
});

test("node_mcp_tools_that_a_server_knows_already_are_guarded_in_it", async () => {
  const { agent, body } = setting();
  const server = new McpServer({ name: "billing", version: "1.0.0" });
  const inputSchema = { supplier: z.string(), total: z.string() };
  const answer = () => ({ content: [{ type: "text", text: body() }] });
  const registered = server.registerTool("pay", { description: "Pays a supplier.", inputSchema }, answer);
  const { pay } = guardTools({ pay: registered }, { pay: RULE }, { agent });
  assert.equal(pay, registered);
  const client = new Client({ name: "test", version: "1.0.0" });
  const [one, two] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(one), client.connect(two)]);
  for (const [input, code] of DENIED) {
    const told = await client.callTool({ name: "pay", arguments: input });
    assert.equal(told.isError, true);
    assert.match(told.content[0].text, code);
  }
  assert.throws(() => registered.update({ callback: answer }), TypeError);
  assert.equal(body.ran, 0);
  const done = await client.callTool({ name: "pay", arguments: { supplier: "acme", total: "1.00" } });
  assert.equal(done.content[0].text, "ran");
  await client.close();
});

test("node_mcp_requests_carry_the_chain_of_their_caller", async () => {
  const { agent } = setting();
  const { pay } = guardTools(
    { pay: async () => ({ content: [{ type: "text", text: chainHeaders()["kakunin-chain"] ?? "none" }] }) },
    { pay: RULE },
    { agent },
  );
  const client = await connected((input, extra) => chain.pickUp(extra._meta, () => pay(input)));
  const call = guard("read:x", { agent }, async () => {
    const request = { name: "pay", arguments: { supplier: "acme", total: "1.00" }, _meta: chainMeta() };
    return (await client.callTool(request)).content[0].text;
  });
  await chain(async () => {
    const text = await call();
    assert.ok(text.startsWith(`${chain.id()};from=`), text);
  });
  await client.close();
});
