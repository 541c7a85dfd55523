/**
 * A `Request` of the fetch standard, where there is nothing else: its fields of one name are one text, joined by commas. A field
 * of the proof that was sent twice is none that way, and so is a `host`.
 */
"use strict";

const { bodyOfRequest } = require("./body");
const { pairs } = require("./server");

/**
 * @param {Request} request
 * @param {{ method?: string, params?: any, request?: unknown }} seen
 * @returns {import("./types").Arrival}
 */
function arrivalOfRequest(request, seen) {
  const { method = request.method, params, request: shown = request } = seen;
  const { pathname, search } = new URL(request.url);
  return {
    key: request,
    method,
    target: pathname + search,
    params,
    request: shown,
    authority: undefined,
    fields: [.../** @type {any} */ (request.headers)].flat(),
    socket: undefined,
    octets: (limit) => bodyOfRequest(request, limit),
    isGone: () => request.signal.aborted,
  };
}

/**
 * @param {import("../native").Refusal} refusal
 * @param {string} method
 */
function responseOf(refusal, method) {
  const { status, fields, problem } = refusal;
  const headers = new Headers();
  for (const [name, value] of pairs(fields)) headers.append(name, value);
  return new Response(method === "HEAD" ? null : problem, { status, headers });
}

/**
 * Runs a handler and says how it ended.
 *
 * @param {import("./gateway").Running} running
 * @param {AbortSignal | undefined} signal
 * @param {() => any} handler
 */
async function run(running, signal, handler) {
  let response;
  try {
    response = await running.inside(handler);
  } catch (error) {
    if (signal?.aborted) running.cancelled();
    else running.raised();
    throw error;
  }
  if (response?.status >= 500) running.raised();
  else running.returned();
  return response;
}

module.exports = { arrivalOfRequest, responseOf, run };
