/**
 * What an agent's requests ask for, on its own side: the names whose places in detached lists go along.
 *
 * A certificate refers to a long list of names by its root. A gateway that has not the list is shown, in the field `kakunin-names`,
 * where the names of this request stand in it. Which names those are the client has to be told, in the words in which the gateway
 * demands them.
 */
"use strict";

const native = require("./native");

/** What is read out of a request: names of it, or nothing. */
class Asking {
  #action;
  #counterparty;
  #resource;

  /**
   * @param {string} action
   * @param {unknown} counterparty
   * @param {unknown} resource
   */
  constructor(action, counterparty, resource) {
    if (typeof action !== "string" || action === "") {
      throw new TypeError('`action` of signedFetch is one such as "payments:send"');
    }
    this.#action = action;
    this.#counterparty = reader("counterparty", counterparty);
    this.#resource = reader("resource", resource);
  }

  /**
   * What a client was told; nothing if that is nothing.
   *
   * @param {{ action?: any, counterparty?: unknown, resource?: unknown }} options
   */
  static of({ action, counterparty, resource }) {
    if (action !== undefined) return new Asking(action, counterparty, resource);
    if (counterparty === undefined && resource === undefined) return undefined;
    throw new TypeError("the names are those of an action; give `action` as the service demands it");
  }

  /**
   * The field for a request, or none where no detached list has a say in it.
   *
   * @param {number} handle
   * @param {Sent} sent
   */
  proofs(handle, sent) {
    return native.proveNames(handle, this.#action, this.#counterparty(sent), this.#resource(sent));
  }
}

/** A request of the client's, as selectors look at it. */
class Sent {
  /** @type {{ value?: any } | undefined} */
  #json;

  /**
   * @param {string} method
   * @param {string} url
   * @param {Buffer} content
   */
  constructor(method, url, content) {
    this.method = method;
    this.url = url;
    this.content = content;
  }

  /** The content as JSON; nothing if it is none. */
  get body() {
    if (this.#json === undefined) {
      try {
        this.#json = { value: JSON.parse(this.content.toString("utf8")) };
      } catch {
        this.#json = {};
      }
    }
    return this.#json.value;
  }
}

/**
 * @param {string} role
 * @param {unknown} selector
 * @returns {(sent: Sent) => string[]}
 */
function reader(role, selector) {
  if (selector === undefined || selector === null) return () => [];
  const parts = Array.isArray(selector) ? selector : [selector];
  const reads = parts.map((part) => {
    if (typeof part === "function") return part;
    if (typeof part !== "string" || part === "" || part.split(".").includes("")) {
      throw new TypeError(
        `\`${role}\` of signedFetch is a path into the JSON content, a function of the request, or several`,
      );
    }
    return (/** @type {Sent} */ sent) => walked(sent.body, part.split("."));
  });
  // What is no name proves nothing; whoever is asked judges what is there.
  return (sent) => reads.flatMap((read) => several(read(sent))).filter((name) => typeof name === "string");
}

/**
 * @param {any} value
 * @param {string[]} path
 */
function walked(value, path) {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found;
}

/** @param {unknown} names */
function several(names) {
  return Array.isArray(names) || names instanceof Set ? [...names] : [names];
}

module.exports = { Asking, Sent };
