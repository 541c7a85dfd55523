/** A request and a response of node:http, which Express, Koa, Fastify, Nest and Hono's server hand on. */
"use strict";

const { bodyOf } = require("./body");

/**
 * `req` as it arrived. `method` and `target` are those that the router goes by and the client sent: where a framework was told
 * to override the method, the overriding one has to be proven.
 *
 * @param {any} req
 * @param {any} res
 * @param {{ method?: string, target?: string, params?: any, kept?: unknown, request?: unknown }} seen
 * @returns {import("./types").Arrival}
 */
function arrivalOf(req, res, seen) {
  const { method = req.method, target, params, kept = req.rawBody, request = req } = seen;
  return {
    key: req,
    method,
    target: target ?? req.url,
    params,
    request,
    authority: req.httpVersionMajor >= 2 ? req.authority : undefined,
    fields: fieldsOf(req),
    socket: req.socket,
    octets: (limit) => bodyOf(req, kept, limit),
    isGone: () => res.headersSent || res.writableEnded || res.destroyed,
  };
}

/**
 * Every field as often as it was sent; HTTP/2's own are said elsewhere.
 *
 * @param {import("node:http").IncomingMessage} req
 */
function fieldsOf(req) {
  /** @type {string[]} */
  const fields = [];
  for (const [name, value] of pairs(req.rawHeaders)) {
    if (!name.startsWith(":")) fields.push(name, value);
  }
  return fields;
}

/**
 * Sends a refusal.
 *
 * @param {any} req
 * @param {any} res
 * @param {import("../native").Refusal} refusal
 * @param {number | undefined} unread
 */
function refuse(req, res, refusal, unread) {
  const { status, fields, problem } = refusal;
  if (res.headersSent || res.writableEnded) return;
  res.statusCode = status;
  for (const [name, value] of pairs(fields)) res.setHeader(name, value);
  if (passOver(req, unread)) res.setHeader("connection", "close");
  res.end(problem);
}

/**
 * Passes over content that nobody reads, and says whether the connection has to end for that. A short one of a known length is let
 * by, and behind it is the next request; one that may have no end, or more than `unread` octets, must not hold the connection open.
 *
 * @param {any} req
 * @param {number | undefined} unread
 * @returns {boolean}
 */
function passOver(req, unread) {
  if (unread === undefined || req.httpVersionMajor >= 2) return false;
  req.resume();
  const { "transfer-encoding": coded, "content-length": declared = 0 } = req.headers;
  return !req.complete && (coded !== undefined || !(Number(declared) <= unread));
}

/**
 * Gives a handler the query that was judged, where selectors read it; a framework's own reading may find others.
 *
 * @param {any} req
 * @param {import("./proven").ProvenRequest} proven
 */
function handOnQuery(req, proven) {
  const value = proven.readQuery;
  if (value === undefined) return;
  Object.defineProperty(req, "query", { value, writable: true, enumerable: true, configurable: true });
}

/**
 * Names and values that come in turn, in pairs.
 *
 * @param {string[]} fields
 * @returns {[string, string][]}
 */
function pairs(fields) {
  /** @type {[string, string][]} */
  const found = [];
  for (let at = 0; at + 1 < fields.length; at += 2) found.push([fields[at] ?? "", fields[at + 1] ?? ""]);
  return found;
}

/**
 * The handler is over when its response is: sent, sent as an error, or never.
 *
 * @param {any} res
 * @param {import("./gateway").Running} running
 */
function follow(res, running) {
  res.once("finish", () => {
    // HTTP/2 says of a stream that was reset that it is finished.
    if (res.stream?.aborted || res.stream?.rstCode) running.cancelled();
    else if (res.statusCode >= 500) running.raised();
    else running.returned();
  });
  res.once("close", () => running.cancelled());
  if (res.destroyed) running.cancelled();
}

module.exports = { arrivalOf, follow, handOnQuery, pairs, passOver, refuse };
