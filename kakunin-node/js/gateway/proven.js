/** What selectors see of a request: only what the proof covers, in one form for every framework. */
"use strict";

const { isJson, parseJson } = require("./json");

/** A request whose proof holds. Header fields are not covered, so there are none here. */
class ProvenRequest {
  /** @type {{ value?: any, error?: unknown } | undefined} */
  #json;
  #octets;
  #contentType;

  /**
   * @param {import("./types").Arrival} arrival
   * @param {Buffer} octets
   * @param {import("./gateway").Caller} caller
   */
  constructor({ method, target, params, contentType, request }, octets, caller) {
    const [path, query] = split(target);
    this.method = method;
    this.path = path;
    this.query = parameters(query);
    /** What the route's pattern took out of the path. */
    this.params = params ?? {};
    this.caller = caller;
    /** The framework's own request, of which nothing but the above is proven. */
    this.request = request;
    this.#octets = octets;
    this.#contentType = contentType;
  }

  /** The content as it was sent. */
  get raw() {
    return this.#octets;
  }

  /** The parsed content. Throws when it is no JSON, does not say that it is, or has a name twice. */
  get body() {
    this.#json ??= this.#parsed();
    if (this.#json.error) throw this.#json.error;
    return this.#json.value;
  }

  /** Whether `body` was read: then the handler gets that one and no other. */
  get hasBody() {
    this.#json ??= this.#parsed();
    return this.#json.error === undefined && this.#json.value !== undefined;
  }

  #parsed() {
    // Nobody signs the type. An amount that is not read because of it must not count as one that is not there.
    if (!isJson(this.#contentType) || this.#octets.length === 0) {
      return { error: new TypeError("the content is no JSON") };
    }
    try {
      return { value: parseJson(this.#octets) };
    } catch (error) {
      return { error };
    }
  }
}

/**
 * A request's target as path and query, as they were sent: no query is `undefined`, an empty one is empty.
 *
 * @param {string} target
 * @returns {[string, string | undefined]}
 */
function split(target) {
  const at = target.indexOf("?");
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

/**
 * A name that is there once has a text, one that is there more often has all of them.
 *
 * @param {string | undefined} query
 */
function parameters(query) {
  /** @type {Record<string, string | string[]>} */
  const found = Object.create(null);
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    const before = found[name];
    found[name] = before === undefined ? value : [before, value].flat();
  }
  return found;
}

module.exports = { ProvenRequest, split };
