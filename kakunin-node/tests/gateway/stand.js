"use strict";
// What every test of a gateway stands on: an authority in memory, a gateway, agents, and a client that writes octets.

const net = require("node:net");

const { Gateway } = require("kakunin-node");
const { prove } = require("kakunin-node/fetch");
const { FakeClock, MemoryAuthority } = require("kakunin-node/testing");

const HOST = "pay.example";
const SCOPE = {
  actions: ["payments:send", "read:invoices"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_action: "1000.00" }],
  counterparties: [{ for: ["payments:send"], allow: ["acme", "globex"] }],
};

/** An authority with a gateway and one agent that may pay 1,000.00 EUR to two parties. */
function stand({ options = {} } = {}) {
  const clock = new FakeClock();
  const authority = new MemoryAuthority({ clock });
  const desk = authority.issue({ actions: ["read:*"] }, { name: "desk" });
  const agent = authority.issue(SCOPE, { name: "billing" });
  const gateway = Gateway.open(desk, { names: [HOST], ...options });
  // A gateway that began a moment ago cannot know what was admitted before.
  clock.advance(11);
  return { clock, authority, desk, agent, gateway };
}

const PAYMENT = { amount: "12.50", to: "acme" };

/** The octets of a request. `agent` proves for it; whatever is given beside is what is sent instead of what was signed. */
function written({
  agent,
  method = "POST",
  target = "/pay",
  json,
  body,
  fields = [],
  signed = {},
  chunked = false,
  host = HOST,
  last = true,
}) {
  const content = body ?? (json === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(json)));
  const proof = agent ? proofOf(agent, { method, target, authority: host, content, ...signed }) : [];
  const lines = [`${method} ${target} HTTP/1.1`, ...(host === null ? [] : [`host: ${host}`])];
  if (content.length > 0 && !fields.some(([name]) => name.toLowerCase() === "content-type")) {
    lines.push("content-type: application/json");
  }
  for (const [name, value] of [...proof, ...fields]) lines.push(`${name}: ${value}`);
  if (last) lines.push("connection: close");
  if (chunked) lines.push("transfer-encoding: chunked");
  else if (content.length > 0 || method === "POST") lines.push(`content-length: ${content.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return Buffer.concat([head, chunked ? inChunks(content) : content]);
}

function proofOf(agent, { method, target, authority, content }) {
  const [path, ...query] = target.split("?");
  return prove(agent, {
    method,
    authority,
    path,
    query: query.length === 0 ? undefined : query.join("?"),
    content,
  });
}

function inChunks(content) {
  const parts = [];
  const size = Math.max(7, Math.ceil(content.length / 100));
  for (let at = 0; at < content.length; at += size) {
    const part = content.subarray(at, at + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** Sends octets and reads answers until the server closes the connection. */
function exchange(port, octets, { methods = ["POST"] } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const heard = [];
    socket.on("data", (part) => heard.push(part));
    socket.on("error", (error) =>
      heard.length === 0 ? reject(error) : resolve(answers(Buffer.concat(heard), methods)),
    );
    socket.on("end", () => resolve(answers(Buffer.concat(heard), methods)));
    socket.setTimeout(30_000, () => socket.destroy(new Error("no answer")));
    socket.write(octets);
  });
}

/** One request, one answer. */
async function send(port, request) {
  const octets = Buffer.isBuffer(request) ? request : written(request);
  const [answer] = await exchange(port, octets, { methods: [request.method ?? "POST"] });
  return answer;
}

function answers(octets, methods) {
  const found = [];
  let at = 0;
  while (at < octets.length) {
    const end = octets.indexOf("\r\n\r\n", at);
    const [line, ...lines] = octets.toString("latin1", at, end).split("\r\n");
    const headers = {};
    for (const field of lines) {
      const colon = field.indexOf(":");
      headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
    }
    at = end + 4;
    let text = "";
    if (methods[found.length] !== "HEAD" && headers["transfer-encoding"] === "chunked") {
      for (;;) {
        const stop = octets.indexOf("\r\n", at);
        const size = Number.parseInt(octets.toString("latin1", at, stop), 16);
        text += octets.toString("utf8", stop + 2, stop + 2 + size);
        at = stop + 4 + size;
        if (size === 0) break;
      }
    } else if (methods[found.length] !== "HEAD") {
      const size = Number(headers["content-length"] ?? 0);
      text = octets.toString("utf8", at, at + size);
      at += size;
    }
    const status = Number(line.split(" ")[1]);
    found.push({
      status,
      headers,
      text,
      get json() {
        return JSON.parse(text);
      },
    });
  }
  return found;
}

module.exports = { HOST, PAYMENT, SCOPE, exchange, proofOf, send, stand, written };
