/**
 * A service whose processor time is measured, run by http.mjs: one payment at `/plain`, behind `requireAgent` at `/proven`, and
 * behind a question to somebody else's service at `/asked`, which is what a hosted check costs.
 *
 * Usage: server.mjs FRAMEWORK FRAMEWORKS AGENT QUESTIONS: the name of the framework, the folder where it is installed, the
 * directory of the service's own agent, and the address to ask. It says its port to its parent, and its processor time whenever
 * it is asked.
 */

import { readFileSync } from "node:fs";
import { Agent as Connections, request } from "node:https";
import { createRequire } from "node:module";
import path from "node:path";

import { Agent, Gateway } from "kakunin-node";
import { requireAgent as forExpress } from "kakunin-node/express";
import { requireAgent as forFastify } from "kakunin-node/fastify";

const [FRAMEWORK, FRAMEWORKS, AGENT, QUESTIONS] = process.argv.slice(2);
const other = createRequire(path.join(FRAMEWORKS, "package.json"));
const HOST = "pay.example";

const gateway = Gateway.open(Agent.fromDir(AGENT), { names: [HOST] });
const RULES = { amount: "amount", currency: "EUR", counterparty: "to" };
const paid = ({ to }) => ({ paid: true, to });

const connections = new Connections({ keepAlive: true, ca: readFileSync(process.env.BENCH_CA) });

/** One question by HTTPS, over a connection that stays. */
function asked({ amount, to }) {
  const question = JSON.stringify({ agent: "billing", action: "payments:send", amount, to });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(question) };
  return new Promise((resolve, reject) => {
    const asking = request(QUESTIONS, { method: "POST", agent: connections, headers }, (answer) => {
      const heard = [];
      answer.on("data", (part) => heard.push(part));
      answer.on("error", reject);
      answer.on("end", () => {
        const { allowed } = JSON.parse(Buffer.concat(heard).toString());
        if (allowed === true) resolve();
        else reject(new Error("denied"));
      });
    });
    asking.on("error", reject);
    asking.end(question);
  });
}

/** Closes no connection of whoever is slow on a busy machine. */
function patient(server) {
  return Object.assign(server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });
}

function byExpress() {
  const express = other("express");
  const app = express();
  const pay = (req, res) => res.json(paid(req.body));
  app.post("/plain", express.json(), pay);
  app.post("/proven", forExpress("payments:send", RULES, { gateway }), pay);
  app.post("/asked", express.json(), (req, _res, next) => asked(req.body).then(() => next(), next), pay);
  const server = app.listen(0, "127.0.0.1", () => process.send({ port: patient(server).address().port }));
}

async function byFastify() {
  const app = other("fastify")();
  const pay = async (request) => paid(request.body);
  app.post("/plain", pay);
  app.post("/proven", { preParsing: forFastify("payments:send", RULES, { gateway }) }, pay);
  app.post("/asked", { preHandler: (request) => asked(request.body) }, pay);
  await app.listen({ port: 0, host: "127.0.0.1" });
  process.send({ port: patient(app.server).address().port });
}

process.on("message", () => process.send({ used: process.cpuUsage() }));
process.on("disconnect", () => process.exit());
await { express: byExpress, fastify: byFastify }[FRAMEWORK]();
