/**
 * Decision chains: one id from the call that began it to the last agent it reaches.
 *
 * Within a chain every receipt names the one it follows from, in this thread and, by `chainHeaders`, in the next.
 */
"use strict";

const native = require("./native");
const context = require("./context");
const { handleOf } = require("./agent");
const { KakuninError } = require("./errors");
const { onlyKnown } = require("./options");

const HEADER = "kakunin-chain";
const TRACE = "traceparent";
const MEMBER = "kakunin/chain";

/** @typedef {import("./native").Place} Place */

/**
 * Runs `fn` at the beginning of a new chain.
 *
 * @template T
 * @param {(() => T) | { traceparent?: string }} first
 * @param {() => T} [second]
 * @returns {T}
 */
function chain(first, second) {
  const [options, fn] = typeof first === "function" ? [{}, first] : [first, second];
  const { traceparent } = onlyKnown("chain", options, ["traceparent"]);
  if (typeof fn !== "function") throw new TypeError("chain takes a function: chain(() => ..)");
  return context.inPlace(begin(traceparent), fn);
}

/**
 * Runs `fn` in the chain of a caller.
 *
 * @template T
 * @param {unknown} carrier
 * @param {() => T} fn
 * @returns {T}
 */
chain.pickUp = function pickUp(carrier, fn) {
  if (typeof fn !== "function") throw new TypeError("chain.pickUp takes a carrier and a function");
  /** @type {Place | undefined} */
  let place;
  try {
    place = linkOf(carrier);
  } catch (error) {
    // Whatever a caller sends must not fail the call, and never be half used.
    place = undefined;
    process.emitWarning(
      `a link was not picked up, and a new chain begins: ${words(error)}`,
      "KakuninWarning",
    );
  }
  return context.inPlace(place ?? begin(), fn);
};

/** The id of the chain here, as `kakunin export --chain` takes it; `undefined` without one. */
chain.id = function id() {
  return context.currentPlace()?.chain;
};

/**
 * Records that several receipts come together here; calls after it, in this context, follow from all.
 *
 * @param {unknown[]} links
 * @param {{ agent?: import("./agent").Agent }} [options]
 * @returns {string}
 */
chain.join = function join(links, options = {}) {
  const { agent } = onlyKnown("chain.join", options, ["agent"]);
  const place = context.currentPlace();
  const acting = agent ?? context.currentAgent();
  if (place === undefined || acting === undefined) {
    throw new KakuninError("a join needs a chain and an agent that records it");
  }
  if (!Array.isArray(links)) throw new TypeError("chain.join takes a list of links");
  const receipts = links.flatMap((link) => namesOf(link, place.chain));
  let joined;
  try {
    joined = native.chainJoin(handleOf(acting), place, receipts);
  } catch (error) {
    throw new KakuninError(words(error));
  }
  context.goOnAt({ chain: place.chain, parents: [joined], trace: place.trace });
  return joined;
};

/** The headers of a request made here: chain and decision whose body runs; none without a chain. */
function chainHeaders() {
  const place = context.currentPlace();
  if (place === undefined) return {};
  const headers = Object.fromEntries(native.chainHeaders(place));
  if (Object.keys(headers).length === 0) nothingToLinkTo(place);
  return headers;
}

/** The same as members for the `_meta` of an MCP request. */
function chainMeta() {
  const place = context.currentPlace();
  if (place === undefined) return {};
  const meta = native.chainMeta(place);
  if (typeof meta === "string") return JSON.parse(meta);
  nothingToLinkTo(place);
  return {};
}

/** @param {Place} place */
function nothingToLinkTo(place) {
  process.emitWarning(
    `chain ${place.chain} is not handed on: no decision was recorded here that another could follow from;` +
      " ask for headers inside a guarded function",
    "KakuninWarning",
  );
}

/** @param {string} [traceparent] */
function begin(traceparent) {
  try {
    return native.chainBegin(traceparent);
  } catch (error) {
    throw new KakuninError(words(error));
  }
}

/**
 * The link in headers or `_meta`; an error if it is none.
 *
 * @param {unknown} carrier
 * @returns {Place | undefined}
 */
function linkOf(carrier) {
  /** @type {Map<string, unknown[]>} */
  const found = new Map();
  for (const [name, value] of pairs(carrier)) {
    const known = typeof name === "string" ? name.toLowerCase() : "";
    if (known !== HEADER && known !== TRACE && known !== MEMBER) continue;
    const several = Array.isArray(value) ? value : [value];
    found.set(known, [...(found.get(known) ?? []), ...several]);
  }
  const trace = found.get(TRACE)?.[0];
  const member = found.get(MEMBER);
  if (member !== undefined) {
    return native.chainOfMeta(JSON.stringify({ [MEMBER]: member[0], [TRACE]: trace ?? null }));
  }
  const header = found.get(HEADER);
  if (header === undefined) return undefined;
  if (header.length > 1) throw new Error(`the header \`${HEADER}\` was sent more than once`);
  return native.chainOfHeaders(text(header[0]), trace === undefined ? undefined : text(trace));
}

/**
 * @param {any} carrier
 * @returns {Iterable<[unknown, unknown]>}
 */
function pairs(carrier) {
  if (carrier === undefined || carrier === null) return [];
  if (typeof carrier === "object" && typeof carrier[Symbol.iterator] === "function") return carrier;
  return Object.entries(carrier);
}

/** @param {unknown} value */
function text(value) {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  throw new Error("a header of a link is no text");
}

/**
 * @param {unknown} link
 * @param {string} id
 * @returns {string[]}
 */
function namesOf(link, id) {
  if (typeof link === "string") return [link];
  let place;
  try {
    place = linkOf(link);
  } catch (error) {
    process.emitWarning(`an answer was not joined to chain ${id}: ${words(error)}`, "KakuninWarning");
    return [];
  }
  if (place === undefined || place.chain !== id) {
    process.emitWarning(
      `an answer was not joined to chain ${id}: it has no link to this chain`,
      "KakuninWarning",
    );
    return [];
  }
  return place.parents;
}

/** @param {unknown} error */
function words(error) {
  return error instanceof Error ? error.message : String(error);
}

module.exports = { chain, chainHeaders, chainMeta };
