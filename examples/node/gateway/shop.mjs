// A service that lets agents pay, and nobody else: `node shop.mjs agents/shop`.
//
// It prints its URL when it is ready. `agents/shop` is its own agent's directory, of the authority that certifies the agents that
// call: what it decides about them is in its journal. `buyer.mjs` is one of them.
import { once } from "node:events";
import { createServer } from "node:http";

import express from "express";
import { Agent, Gateway } from "kakunin-node";
import { requireAgent } from "kakunin-node/express";

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const address = `127.0.0.1:${server.address().port}`;
const gateway = Gateway.open(Agent.fromDir(process.argv[2]), { names: [address] });
const payment = { amount: "amount", currency: "EUR", counterparty: "iban" };

const app = express();
app.post("/pay", requireAgent("payments:send", payment, { gateway }), (request, response) => {
  const { amount, iban } = request.body;
  response.json({ paid: amount, to: iban, by: request.caller.agentId });
});

server.on("request", app);
console.log(`http://${address}`);
process.on("SIGTERM", () => process.exit());
