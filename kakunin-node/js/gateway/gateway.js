/** The side that is asked: under which names it is reached, who calls, and what was let in. */
"use strict";

const path = require("node:path");
const { TLSSocket } = require("node:tls");

const native = require("../native");
const { handleOf } = require("../agent");
const { inPlace } = require("../context");
const { KakuninError } = require("../errors");
const { onlyKnown, own } = require("../options");
const { CANCELLED, RAISED, RETURNED, UNKNOWN, finish } = require("../outcome");

/** @typedef {import("../native").Refusal} Refusal */
/** @typedef {import("../values").Values} Values */

/** Nobody outside this package makes one of these. */
const OPENED = Symbol("opened");

/**
 * A gateway: an agent of this service's own, by whose lists and feed callers are judged and in whose journal they are
 * recorded, and the names under which requests reach it.
 */
class Gateway {
  #handle;
  #tls;
  #nonces;

  /**
   * @param {symbol} key
   * @param {number} handle
   * @param {import("../agent").Agent} agent
   * @param {boolean} tls
   * @param {((mark: string, seconds: number) => boolean | Promise<boolean>) | undefined} nonces
   */
  constructor(key, handle, agent, tls, nonces) {
    if (key !== OPENED) throw new TypeError("a gateway is opened by Gateway.open(agent, { names: [..] })");
    this.#handle = handle;
    this.#tls = tls;
    this.#nonces = nonces;
    /** The service's own agent, which is open as long as this is. */
    this.agent = agent;
    /** How many octets of content are read of a request. */
    this.maxBody = native.gatewayMaxBody(handle);
    Object.freeze(this);
    forgottenGateways.register(this, handle);
  }

  /**
   * @param {import("../agent").Agent} agent
   * @param {import("./types").GatewayOptions} options
   */
  static open(agent, options) {
    const handle = handleOf(agent, "what Gateway.open takes first");
    const known = [
      "names",
      "maxBody",
      "nameLists",
      "tls",
      "trustedProxies",
      "proxyField",
      "serials",
      "nonces",
    ];
    const {
      names,
      maxBody,
      nameLists,
      tls = false,
      trustedProxies = [],
      proxyField,
      serials,
      nonces,
    } = onlyKnown("Gateway.open", options, known);
    if (!texts(names))
      throw new TypeError('`names` is a list of authorities: ["shop.example", "10.0.0.7:8443"]');
    if (!texts(trustedProxies)) throw new TypeError("`trustedProxies` is a list of addresses and networks");
    if (trustedProxies.length > 0 && !proxyField) {
      throw new TypeError(
        '`trustedProxies` need `proxyField: "client-cert"` or "x-forwarded-client-cert", the field that they write: a client could write the other one',
      );
    }
    if (typeof tls !== "boolean") throw new TypeError("`tls` is true or false");
    if (maxBody !== undefined && !(Number.isSafeInteger(maxBody) && maxBody >= 0)) {
      throw new TypeError("`maxBody` is a number of octets");
    }
    const folder = typeof nonces === "string" ? nonces : undefined;
    const asked = folder === undefined ? nonces : undefined;
    if (folder !== undefined && !path.isAbsolute(folder)) {
      throw new TypeError(`\`nonces\` is a folder by its whole path, not ${JSON.stringify(folder)}`);
    }
    if (asked !== undefined && typeof asked !== "function") {
      throw new TypeError(
        "`nonces` is a folder, or a function that remembers a mark for some seconds and says whether it is new",
      );
    }
    const settings = own({
      names,
      maxBody,
      tls,
      proxies: trustedProxies,
      proxyField,
      lists: nameLists,
      serials,
      shared: asked !== undefined,
      folder,
    });
    try {
      return new Gateway(OPENED, native.gatewayOpen(handle, settings), agent, tls, asked);
    } catch (error) {
      throw new KakuninError(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * Who sends a request, by its head alone: what is given out names that head until its content has come. An agent that is held or
   * revoked is denied `action` here.
   *
   * @param {string} action
   * @param {import("./types").Line} line
   * @returns {Promise<{ head: number, refusal?: undefined } | { refusal: Refusal, head?: undefined }>}
   */
  async proveHead(action, { method, authority, path: asked, query, fields, socket }) {
    const chain = this.#tls ? chainOf(socket) : undefined;
    const address = socket?.remoteAddress;
    const found = native.gatewayProveHead(
      this.#handle,
      action,
      method,
      authority,
      asked,
      query,
      fields,
      chain,
      address,
    );
    const { head, refusal } = found;
    if (refusal !== undefined) return { refusal: (await this.#used(found)) ?? refusal };
    return { head: /** @type {number} */ (head) };
  }

  /**
   * Who sends a request whose head was proven, and whose content is `octets`.
   *
   * @param {number} head
   * @param {Buffer} octets
   * @returns {Promise<{ caller: Caller, refusal?: undefined } | { refusal: Refusal, caller?: undefined }>}
   */
  async identify(head, octets) {
    const found = native.gatewayIdentify(this.#handle, head, octets);
    if (found.refusal) return { refusal: found.refusal };
    const caller = new Caller(OPENED, found);
    const refusal = await this.#used(found);
    return refusal ? { refusal } : { caller };
  }

  /**
   * Forgets a head whose content never came.
   *
   * @param {number} head
   */
  forget(head) {
    native.releaseHead(head);
  }

  /**
   * Has the store of the service remember a proof: the refusal of one that it knew.
   *
   * @param {{ mark?: string, markSeconds?: number }} found
   * @returns {Promise<Refusal | undefined>}
   */
  async #used({ mark, markSeconds = 0 }) {
    if (this.#nonces === undefined || mark === undefined) return undefined;
    const isNew = await this.#nonces(mark, markSeconds);
    if (isNew === false) return native.gatewayRefuse(this.#handle, "replayed", "");
    // Nothing that is only like `true` says that a proof is new.
    if (isNew !== true) throw new TypeError("`nonces` answered neither true nor false");
    return undefined;
  }

  /**
   * A refusal for which no proof was looked at.
   *
   * @param {"over" | "misconfigured" | "internal"} kind
   * @param {string} detail
   * @returns {Refusal}
   */
  refuse(kind, detail) {
    return native.gatewayRefuse(this.#handle, kind, detail);
  }
}

/** The agent that a request is from. */
class Caller {
  #handle;

  /**
   * @param {symbol} key
   * @param {import("../native").Identified} found
   */
  constructor(key, found) {
    if (key !== OPENED) throw new TypeError("a caller comes from a gateway");
    this.#handle = /** @type {number} */ (found.caller);
    /** Its id. */
    this.agentId = found.agent;
    /** The serial number of its certificate, in hexadecimal digits. */
    this.certificateSerial = found.certificateSerial;
    /** How it proved that it has the key: `signature`, `tls` or `proxy`; `none` if it did not. */
    this.possession = found.possession;
    Object.freeze(this);
    forgottenCallers.register(this, this.#handle);
  }

  /**
   * Decides about an action, records the decision and begins the action.
   *
   * @param {Caller} caller
   * @param {string} action
   * @param {string | undefined} literal
   * @param {Values} asked
   * @returns {{ running: Running, refusal?: undefined } | { refusal: Refusal, running?: undefined }}
   */
  static admit(caller, action, literal, asked) {
    const { shape, number, amount, currency, counterparty, resource } = asked;
    const found = native.callerAdmit(
      caller.#handle,
      action,
      literal,
      shape,
      number,
      amount,
      currency,
      counterparty,
      resource,
    );
    return found.refusal ? { refusal: found.refusal } : { running: new Running(found) };
  }
}

const { admit } = Caller;
// @ts-expect-error Its only user is in this package.
delete Caller.admit;

/** An action that was let in and runs. The first word on how it ended counts. */
class Running {
  #handle;
  #place;

  /** @param {import("../native").Admitted} found */
  constructor(found) {
    this.#handle = /** @type {number} */ (found.running);
    this.#place = found.place;
    forgottenActions.register(this, this.#handle);
  }

  /**
   * Runs `body` where guarded calls and signed requests follow from this action.
   *
   * @template T
   * @param {() => T} body
   * @returns {T}
   */
  inside(body) {
    return this.#place ? inPlace(this.#place, body) : body();
  }

  returned() {
    finish(this.#handle, RETURNED);
  }

  raised() {
    finish(this.#handle, RAISED);
  }

  cancelled() {
    finish(this.#handle, CANCELLED);
  }
}

/**
 * The certificates of a TLS connection that ends in this process, the client's first: its handshake proved the key.
 *
 * @param {unknown} socket
 * @returns {Buffer[] | undefined}
 */
function chainOf(socket) {
  if (!(socket instanceof TLSSocket)) return undefined;
  /** @type {Buffer[]} */
  const chain = [];
  let next = socket.getPeerCertificate(true);
  while (next?.raw && chain.length < MOST_LINKS && !chain.some((der) => der.equals(next.raw))) {
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}

/** @param {unknown} value */
function texts(value) {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}

/** A path has four certificates at most; whoever sends more is refused for it. */
const MOST_LINKS = 5;

const forgottenGateways = new FinalizationRegistry((/** @type {number} */ handle) =>
  native.releaseGateway(handle),
);
const forgottenCallers = new FinalizationRegistry((/** @type {number} */ handle) =>
  native.releaseCaller(handle),
);
const forgottenActions = new FinalizationRegistry((/** @type {number} */ handle) => finish(handle, UNKNOWN));

module.exports = { Gateway, Caller, Running, admit };
