/** A `kakunin serve` of a test's own, that can be killed and started again. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, openSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { Agent, guard, ScopeDenied } from "kakunin-node";

import { folder } from "./home.mjs";

const PAYMENTS = {
  actions: ["payments:send"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_action: "100.00" }],
  counterparties: [{ for: ["payments:send"], allow: ["acme"] }],
};

/** An authority that is served until the end of the test. */
export async function service(t) {
  const made = new Service(folder(t));
  t.after(() => made.kill());
  await made.start();
  return made;
}

class Service {
  #process;
  #listen = "127.0.0.1:0";
  #number = 0;

  constructor(at) {
    this.at = at;
  }

  /** Starts it where it was before; the first start makes the authority. */
  async start() {
    const ready = path.join(this.at, "ready.json");
    rmSync(ready, { force: true });
    assert.ok(process.env.KAKUNIN_CLI, "KAKUNIN_CLI names the command line; scripts/node.sh sets it");
    const log = openSync(path.join(this.at, "log"), "a");
    this.#process = spawn(
      process.env.KAKUNIN_CLI,
      ["serve", "--home", path.join(this.at, "home"), "--listen", this.#listen, "--ready-file", ready],
      { stdio: ["ignore", "ignore", log] },
    );
    // The file appears whole, by a rename.
    await eventually(() => existsSync(ready) || this.#process.exitCode, true, 120);
    const said = JSON.parse(readFileSync(ready, "utf8"));
    this.url = said.url;
    this.key = said.owner_key ?? this.key;
    this.#listen = this.url.replace("http://", "");
  }

  /** Ends it as the loss of power does. */
  async kill() {
    const ending = this.#process;
    this.#process = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill("SIGKILL");
    await ended;
  }

  /** An order as the owner gives it by HTTP: the answer's data. */
  async post(route, body = {}) {
    const answer = await fetch(`${this.url}/v1${route}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${route}: ${answer.status} ${text}`);
    return JSON.parse(text).data;
  }

  /** A new agent's name. */
  async create() {
    this.#number += 1;
    const name = `agent-${this.#number}`;
    await this.post("/agents", { name, scope: PAYMENTS });
    return name;
  }

  /** What enrols an agent, once. */
  async token(name) {
    return (await this.post(`/agents/${name}/tokens`)).token;
  }

  directory(name) {
    return path.join(this.at, "agents", name);
  }

  /** The agent, connected: enrolled if its directory is not there yet. */
  async connect(name, options = {}) {
    const directory = this.directory(name);
    const enrolled = existsSync(path.join(directory, "agent.pem"));
    const token = enrolled ? undefined : await this.token(name);
    return Agent.connect(this.url, name, { directory, token, ...options });
  }

  /** An order from another terminal, as `kakunin VERB NAME --url` gives it: its answer. */
  order(verb, name) {
    const args = [verb, name, "--reason", "a test", "--url", this.url, "--json"];
    return new Promise((resolve, reject) => {
      const env = { ...process.env, KAKUNIN_TOKEN: this.key };
      const child = spawn(process.env.KAKUNIN_CLI, args, { env, stdio: ["ignore", "pipe", "inherit"] });
      let out = "";
      child.stdout.setEncoding("utf8").on("data", (text) => {
        out += text;
      });
      child.on("close", (code) =>
        code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`${args.join(" ")}: ${code} ${out}`)),
      );
    });
  }
}

/** A guarded payment: calling it says `allow`, or why not. */
export function payment(agent, ran = []) {
  const pay = guard(
    "payments:send",
    { amount: "total", currency: "EUR", counterparty: "to", agent },
    ({ total }) => ran.push(total),
  );
  return ({ to = "acme", total = "1.00" } = {}) => {
    try {
      pay({ to, total });
      return "allow";
    } catch (error) {
      if (error instanceof ScopeDenied) return error.code;
      throw error;
    }
  };
}

/** Asks until the answer is the expected one: for how many seconds. */
export async function eventually(asked, expected, seconds = 60) {
  const begun = performance.now();
  for (;;) {
    const found = await asked();
    const spent = (performance.now() - begun) / 1000;
    if (found === expected) return spent;
    assert.ok(spent < seconds, `${found} and not ${expected} after ${seconds} s`);
    await after(5);
  }
}
