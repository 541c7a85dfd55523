/**
 * What `requireAgent` adds to a request in Express and in Fastify, beside one question by HTTPS to a service on the same machine:
 * rows of the table of `make bench`.
 *
 * Usage: http.mjs KAKUNIN FRAMEWORKS: the binary of the command line, and the folder where the packages of scripts/pins/gateways
 * are installed. The service is a process of its own, and what is measured is the processor time of all its threads: of the one
 * that signs receipts, too. Requests are prepared before and sent over connections that stay; each kind takes its turn in every
 * round, and medians of the ratios of a round are compared.
 */

import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent as Connections, request } from "node:https";
import net from "node:net";
import { loadavg, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Agent } from "kakunin-node";
import { prove } from "kakunin-node/fetch";

const [KAKUNIN, FRAMEWORKS] = process.argv.slice(2);
const here = (file) => path.join(import.meta.dirname, file);
const HOST = "pay.example";
const SCOPE = `
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
`;
const ROUNDS = 21;
const REQUESTS = 200;
const SOCKETS = 4;
/** A gateway takes no proof that may have been used before it began. */
const BEGINNING = 12_000;
/** Long enough for the signer to finish with a batch. */
const PAUSE = 50;

const content = Buffer.from(JSON.stringify({ amount: "125.00", to: "acme", reference: "x".repeat(160) }));

/** A request as it is sent; `agent` proves for it. */
function written(route, agent) {
  const target = { method: "POST", authority: HOST, path: route, content };
  const lines = [
    `POST ${route} HTTP/1.1`,
    `host: ${HOST}`,
    "content-type: application/json",
    `content-length: ${content.length}`,
    ...(agent ? prove(agent, target).map(([name, value]) => `${name}: ${value}`) : []),
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), content]);
}

/** A connection that stays: one request, one answer. */
class Connection {
  #socket;
  #heard = Buffer.alloc(0);
  #done = null;

  constructor(port) {
    this.#socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (part) => this.#take(part));
    this.#socket.on("close", () => this.#done?.reject(new Error("the service closed the connection")));
    this.#socket.on("error", () => undefined);
  }

  send(octets) {
    return new Promise((resolve, reject) => {
      this.#done = { resolve, reject };
      this.#socket.write(octets);
    });
  }

  #take(part) {
    this.#heard = Buffer.concat([this.#heard, part]);
    const end = this.#heard.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#heard.toString("latin1", 0, end);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1]);
    if (this.#heard.length < end + 4 + length) return;
    const text = this.#heard.toString("utf8", end + 4);
    this.#heard = Buffer.alloc(0);
    const { resolve, reject } = this.#done;
    if (head.startsWith("HTTP/1.1 200 ") && JSON.parse(text).paid === true) resolve();
    else reject(new Error(`${head}\n${text}`));
  }

  close() {
    this.#done = null;
    this.#socket.removeAllListeners("data").destroy();
  }
}

class Service {
  static async start(framework, agent, questions, certificate) {
    const service = new Service();
    const env = { ...process.env, BENCH_CA: certificate };
    service.child = fork(here("server.mjs"), [framework, FRAMEWORKS, agent, questions], { env });
    [{ port: service.port }] = await once(service.child, "message");
    service.connections = [];
    return service;
  }

  /** Microseconds of processor time that the service has used. */
  async used() {
    this.child.send("used");
    const [{ used }] = await once(this.child, "message");
    return used.user + used.system;
  }

  /** Microseconds of a request, by kind and round. */
  async measure(kinds) {
    const names = Object.keys(kinds);
    const micros = Object.fromEntries(names.map((name) => [name, []]));
    this.connections = Array.from({ length: SOCKETS }, () => new Connection(this.port));
    for (let round = -4; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(round + 4 + turn) % names.length];
        const requests = Array.from({ length: REQUESTS }, kinds[name]);
        const before = await this.used();
        const next = async (connection) => {
          for (let octets = requests.pop(); octets; octets = requests.pop()) await connection.send(octets);
        };
        await Promise.all(this.connections.map(next));
        await sleep(PAUSE);
        const each = ((await this.used()) - before) / REQUESTS;
        if (round >= 0) micros[name].push(each);
      }
    }
    return micros;
  }

  stop() {
    for (const connection of this.connections) connection.close();
    this.child.disconnect();
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

const over = (one, other, of) => median(one.map((value, round) => of(value, other[round])));
const text = (micros) => `${micros.toFixed(micros < 100 ? 1 : 0)} µs`;

function row(what, measured, floor, ratio) {
  console.log(`| ${what} | ${text(measured)} | ${floor} | ${ratio} | |`);
}

function rows(name, { plain, proven, asked }) {
  const floor = `without: ${text(median(plain))}`;
  const times = (kind) => over(kind, plain, (one, other) => one / other).toFixed(2);
  row(
    `${name}: a request behind \`requireAgent\`, receipts signed, CPU of the service`,
    median(proven),
    floor,
    times(proven),
  );
  const added = over(asked, plain, (one, other) => one - other);
  const ours = over(proven, plain, (one, other) => one - other);
  row(
    "… behind one HTTPS round trip per call instead, CPU of the service",
    median(asked),
    floor,
    times(asked),
  );
  row(
    "… what `requireAgent` adds",
    ours,
    `what the round trip adds to the side that asks: ${text(added)}`,
    (ours / added).toFixed(2),
  );
}

/** What a call waits for one answer by HTTPS, over a connection that stays: microseconds of the wall clock. */
async function roundTrip(questions, certificate) {
  const agent = new Connections({ keepAlive: true, maxSockets: 1, ca: readFileSync(certificate) });
  const question = JSON.stringify({
    agent: "billing",
    action: "payments:send",
    amount: "125.00",
    to: "acme",
  });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(question) };
  const once_ = () =>
    new Promise((resolve, reject) => {
      const asking = request(questions, { method: "POST", agent, headers }, (answer) => {
        answer.resume();
        answer.on("end", resolve);
      });
      asking.on("error", reject);
      asking.end(question);
    });
  const took = [];
  for (let call = -200; call < 1_000; call += 1) {
    const begun = performance.now();
    await once_();
    if (call >= 0) took.push((performance.now() - begun) * 1_000);
  }
  agent.destroy();
  return median(took);
}

const folder = mkdtempSync(path.join(tmpdir(), "kakunin-bench-"));
const running = [];
try {
  writeFileSync(path.join(folder, "scope.toml"), SCOPE);
  writeFileSync(path.join(folder, "desk.toml"), 'actions = ["read:*"]\n');
  const kakunin = (line) => execFileSync(KAKUNIN, line.split(" "), { cwd: folder, stdio: "pipe" });
  kakunin("init");
  kakunin("agent create billing --scope scope.toml --out billing");
  for (const name of ["express", "fastify"]) kakunin(`agent create ${name} --scope desk.toml --out ${name}`);
  const [key, certificate] = ["key.pem", "asked.pem"].map((name) => path.join(folder, name));
  const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=asked -days 2";
  const names = "subjectAltName=IP:127.0.0.1";
  execFileSync("openssl", [...made.split(" "), "-addext", names, "-keyout", key, "-out", certificate], {
    stdio: "pipe",
  });

  const answering = fork(here("asked.mjs"), [key, certificate]);
  running.push(() => answering.disconnect());
  const [{ port }] = await once(answering, "message");
  const questions = `https://127.0.0.1:${port}/v1/verify`;
  const services = {};
  for (const name of ["express", "fastify"]) {
    const service = await Service.start(name, path.join(folder, name), questions, certificate);
    services[name] = service;
    running.push(() => service.stop());
  }
  const agent = Agent.fromDir(path.join(folder, "billing"));
  await sleep(BEGINNING);
  const [plain, asked] = ["/plain", "/asked"].map((route) => written(route));
  const kinds = { plain: () => plain, proven: () => written("/proven", agent), asked: () => asked };
  for (const [name, service] of Object.entries(services)) {
    rows(name === "express" ? "Express" : "Fastify", await service.measure(kinds));
  }
  const waited = await roundTrip(questions, certificate);
  row(
    "One HTTPS round trip on loopback, wall clock: what each call to a hosted check waits at least",
    waited,
    `at a load of ${loadavg()[0].toFixed(1)}`,
    "",
  );
} finally {
  for (const stop of running) stop();
  rmSync(folder, { recursive: true, force: true });
}
