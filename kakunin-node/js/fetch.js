/**
 * `fetch` for agents: each request proves who sends it.
 *
 *     const send = signedFetch(agent);
 *     await send("https://shop.example/pay", { method: "POST", body: JSON.stringify({ amount: "125.00", iban: "DE02" }) });
 */
"use strict";

const native = require("./native");
const { handleOf } = require("./agent");
const { Asking, Sent } = require("./asking");
const { actingHandle, currentPlace } = require("./context");
const { KakuninError, known } = require("./errors");
const { onlyKnown } = require("./options");

/** A request that goes without a proof, and therefore does not go. */
class NotProven extends KakuninError {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    /** The stable code. */
    this.code = code;
  }
}
known("NotProven", NotProven);

/**
 * A `fetch` that signs: method, address, content and time, by the key of the agent's certificate. Without an agent it is the one of
 * the context, else that of `use`. Inside a guarded function of a decision chain the request says what it follows from, and that
 * is signed too.
 *
 * The content is read into memory. No redirect is followed: a proof is for one address, and where an answer points to is not what
 * the agent's caller asked for. The answer of the redirect is what is returned; `redirect: "error"` rejects it.
 *
 * `action`, `counterparty` and `resource` say what is asked for, as the service demands it: then each request shows the places of its
 * names in detached lists of the certificate, so the service need not have those.
 *
 * @param {import("./agent").Agent} [agent]
 * @param {import("./fetch").SignedFetchOptions} [options]
 * @returns {typeof globalThis.fetch}
 */
function signedFetch(agent, options = {}) {
  if (agent !== undefined) handleOf(agent, "what signedFetch takes first");
  const known = onlyKnown("signedFetch", options, ["fetch", "action", "counterparty", "resource"]);
  const { fetch = globalThis.fetch } = known;
  const asking = Asking.of(known);
  if (typeof fetch !== "function") throw new TypeError("`fetch` is a function like the global one");
  return async function signedFetch(input, init) {
    if (init?.redirect === "follow") {
      throw new TypeError(
        "signedFetch follows no redirects; look at the answer and ask there, if that is meant",
      );
    }
    const request = new Request(input, init);
    const content = Buffer.from(await request.arrayBuffer());
    // The agent is held and not only its handle: one that nobody holds is closed.
    const handle = agent === undefined ? actingHandle() : handleOf(agent);
    const headers = new Headers(request.headers);
    for (const name of OURS) headers.delete(name);
    if (asking !== undefined) {
      headers.delete(NAMES);
      const sent = new Sent(request.method, request.url, content);
      for (const [name, value] of fieldsOf(() => asking.proofs(acting(handle), sent)))
        headers.set(name, value);
    }
    for (const [name, value] of proof(handle, request.method, new URL(request.url), content))
      headers.set(name, value);
    return fetch(request.url, {
      method: request.method,
      headers,
      body: request.body === null ? undefined : content,
      redirect: request.redirect === "error" ? "error" : "manual",
      signal: request.signal,
      // What a request of the standard does not carry on, such as undici's `dispatcher`.
      ...(init && "dispatcher" in init ? { dispatcher: init.dispatcher } : {}),
    });
  };
}

/**
 * The fields that prove who sends a request, for clients that are no `fetch`: each of them once, and no others of those names.
 * `path` and `query` are the octets that will be sent.
 *
 * @param {import("./agent").Agent} agent
 * @param {{ method: string, authority: string, path: string, query?: string, content?: Uint8Array }} request
 * @returns {[string, string][]}
 */
function prove(agent, request) {
  const known = ["method", "authority", "path", "query", "content"];
  const { method, authority, path, query, content = new Uint8Array() } = onlyKnown("prove", request, known);
  return signed(
    handleOf(agent, "what prove takes first"),
    method,
    authority,
    path,
    query,
    Buffer.from(content),
  );
}

/**
 * @param {number} handle
 * @param {string} method
 * @param {URL} url
 * @param {Buffer} content
 */
function proof(handle, method, url, content) {
  // What `fetch` sends: a `?` with nothing behind it is left away.
  const query = url.search === "" ? undefined : url.search.slice(1);
  return signed(acting(handle), method, url.host, url.pathname, query, content);
}

/** @param {number} handle */
function acting(handle) {
  if (handle !== 0) return handle;
  throw new NotProven(
    "agent.missing",
    "no agent is set that could send this request; pass one, or use runAs [agent.missing]",
  );
}

/**
 * @param {number} handle
 * @param {string} method
 * @param {string} authority
 * @param {string} path
 * @param {string | undefined} query
 * @param {Buffer} content
 * @returns {[string, string][]}
 */
function signed(handle, method, authority, path, query, content) {
  return fieldsOf(() => native.prove(handle, method, authority, path, query, content, currentPlace()));
}

/**
 * Names and values of what the native half proves.
 *
 * @param {() => import("./native").Proven} prove
 * @returns {[string, string][]}
 */
function fieldsOf(prove) {
  let proven;
  try {
    proven = prove();
  } catch (error) {
    if (error instanceof NotProven) throw error;
    throw new NotProven("internal", error instanceof Error ? error.message : String(error));
  }
  const { fields, code, message } = proven;
  if (code) throw new NotProven(code, message ?? code);
  /** @type {[string, string][]} */
  const pairs = [];
  for (let at = 0; at + 1 < fields.length; at += 2) pairs.push([fields[at], fields[at + 1]]);
  return pairs;
}

const NAMES = "kakunin-names";
/** What only a proof says. */
const OURS = ["content-digest", "kakunin-certificate-chain", "kakunin-chain", "signature", "signature-input"];

module.exports = { NotProven, prove, signedFetch };
