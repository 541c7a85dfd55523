/** What selectors see of a request: only what the proof covers, in one form for every framework. */
"use strict";

const { parseJson, said } = require("./json");

/** A request whose proof holds. Header fields are not covered, so there are none here. */
class ProvenRequest {
  /** @type {{ value?: any, error?: unknown } | undefined} */
  #json;
  #octets;
  #said;
  #queryText;
  /** @type {ReturnType<typeof parameters> | undefined} */
  #query;

  /**
   * @param {import("./types").Arrival} arrival
   * @param {Buffer} octets
   * @param {import("./gateway").Caller} caller
   */
  constructor({ method, target, params, fields, request }, octets, caller) {
    const [path, query] = split(target);
    this.method = method;
    this.path = path;
    /** What the route's pattern took out of the path. */
    this.params = params ?? {};
    this.caller = caller;
    /** The framework's own request, of which nothing but the above is proven. */
    this.request = request;
    this.#octets = octets;
    this.#said = octets.length === 0 ? "other" : said(fields);
    this.#queryText = query;
  }

  /** The query's texts by their names. Throws when another reader could find other ones; so does a name that is there twice. */
  get query() {
    this.#query ??= parameters(this.#queryText);
    return this.#query.judged;
  }

  /** What a handler gets as its query, if selectors read it: a name that is there twice has all its texts. */
  get readQuery() {
    return this.#query?.all;
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

  /** Whether a parser behind this could read another JSON out of the content than the one that `body` is. */
  get isAmbiguous() {
    return this.#said === "doubtful";
  }

  #parsed() {
    // Nobody signs the type. An amount that is not read because of it must not count as one that is not there.
    if (this.#said !== "json") {
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
 * The parameters of a query in the two forms in which they are read: `all`, and `judged`, where a name that is there twice cannot
 * be read. Frameworks read brackets as structure, stop after a thousand parameters, or end a query at a `#`; what they would find
 * in such a query nobody here knows.
 *
 * @param {string | undefined} query
 */
function parameters(query = "") {
  const pairs = [...new URLSearchParams(query)];
  if (query.includes("#") || query.split("&").length > MOST_PARAMETERS) {
    throw new TypeError(`the query has a \`#\`, or more than ${MOST_PARAMETERS} parameters`);
  }
  /** @type {Record<string, string | string[]>} */
  const all = Object.create(null);
  for (const [name, value] of pairs) {
    if (/[[\]]/.test(name)) throw new TypeError("a name in the query has brackets");
    const before = all[name];
    all[name] = before === undefined ? value : [before, value].flat();
  }
  /** @type {Record<string, string>} */
  const judged = Object.create(null);
  for (const [name, value] of Object.entries(all)) {
    const get = () => {
      if (typeof value === "string") return value;
      throw new TypeError(`\`${name}\` is in the query ${value.length} times`);
    };
    Object.defineProperty(judged, name, { get, enumerable: true });
  }
  return { all, judged };
}

const MOST_PARAMETERS = 1000;

module.exports = { ProvenRequest, split };
