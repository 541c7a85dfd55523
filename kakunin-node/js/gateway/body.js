/**
 * The content of a request, octet by octet as it was sent: what the proof is about. It is read here, before any parser,
 * within the limit, and given back to the stream so that a parser behind this finds it again.
 */
"use strict";

/** Why there is no content to prove. `kind`: "over" the limit, "aborted", or "taken" by somebody who kept no octets. */
class NoBody extends Error {
  /**
   * @param {"over" | "aborted" | "taken"} kind
   * @param {string} detail
   */
  constructor(kind, detail) {
    super(detail);
    this.kind = kind;
  }
}

/** @typedef {import("node:http").IncomingMessage & { aborted?: boolean, stream?: any }} Incoming */

/**
 * Reads what a server's request holds. `kept` is what a parser that ran before says it read: nobody has to believe it,
 * because the proof carries the digest of what was sent.
 *
 * @param {Incoming} stream
 * @param {unknown} kept
 * @param {number} limit
 * @returns {Promise<Buffer>}
 */
async function bodyOf(stream, kept, limit) {
  if (kept !== undefined && kept !== null) return within(octets(kept), limit);
  if (isEmpty(stream)) return Buffer.alloc(0);
  if (stream.readableDidRead || stream.readableEnded || stream.readableFlowing || stream.readableEncoding) {
    throw new NoBody(
      "taken",
      "a body parser ran before requireAgent and kept no octets; put requireAgent before it, or let it keep them as req.rawBody",
    );
  }
  const declared = Number(stream.headers["content-length"] ?? 0);
  if (declared > limit)
    throw new NoBody("over", `the content has ${declared} octets; at most ${limit} are read`);
  return drained(stream, limit);
}

/**
 * @param {Incoming} stream
 * @param {number} limit
 * @returns {Promise<Buffer>}
 */
function drained(stream, limit) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = [];
    let size = 0;
    const leave = () => {
      stream.off("readable", onReadable).off("end", onReadable);
      stream.off("error", onGone).off("close", onGone).off("aborted", onGone);
      // An error that comes later is nobody's any more, and must not end the process.
      stream.on("error", () => {});
    };
    const onReadable = () => {
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) {
        size += chunk.length;
        chunks.push(chunk);
        if (size > limit) {
          leave();
          return reject(new NoBody("over", `the content has more than ${limit} octets`));
        }
      }
      if (!stream.complete) return;
      leave();
      const body = Buffer.concat(chunks, size);
      // Before "end" was emitted the octets can be put back: whoever reads next finds them, then the end.
      if (body.length > 0 && !stream.readableEnded) stream.unshift(body);
      resolve(body);
    };
    const onGone = () => {
      leave();
      reject(new NoBody("aborted", "the request ended before its content was there"));
    };
    if (stream.destroyed || stream.aborted) return onGone();
    stream.on("readable", onReadable).on("end", onReadable);
    stream.on("error", onGone).on("close", onGone).on("aborted", onGone);
  });
}

/**
 * The same for a `Request` of the fetch standard. It can be read once; give the answer on with `withBody`.
 *
 * @param {Request} request
 * @param {number} limit
 * @returns {Promise<Buffer>}
 */
async function bodyOfRequest(request, limit) {
  if (request.bodyUsed) {
    throw new NoBody(
      "taken",
      "the content was read before requireAgent; put requireAgent before whatever reads it",
    );
  }
  if (request.body === null) return Buffer.alloc(0);
  /** @type {Uint8Array[]} */
  const chunks = [];
  let size = 0;
  const reader = request.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      size += part.value.byteLength;
      if (size > limit) {
        reader.cancel().catch(() => {});
        throw new NoBody("over", `the content has more than ${limit} octets`);
      }
      chunks.push(part.value);
    }
  } catch (error) {
    if (error instanceof NoBody) throw error;
    throw new NoBody("aborted", "the request ended before its content was there");
  }
  return Buffer.concat(chunks, size);
}

/**
 * The same request with its content unread.
 *
 * @template {Request} R
 * @param {R} request
 * @param {Buffer} body
 * @returns {R}
 */
function withBody(request, body) {
  if (request.body === null) return request;
  const { url, method, headers, signal } = request;
  const init = /** @type {any} */ ({ method, headers, signal, body, duplex: "half" });
  // One of Next has more than the standard's; others may be no more than a likeness of it.
  const Made = "nextUrl" in request ? /** @type {any} */ (request.constructor) : Request;
  return new Made(url, init);
}

/**
 * What a parser kept, as octets. Text stands for its UTF-8: were that another content, its digest would be too.
 *
 * @param {unknown} kept
 */
function octets(kept) {
  if (typeof kept === "string") return Buffer.from(kept, "utf8");
  if (kept instanceof Uint8Array) return Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength);
  throw new NoBody("taken", "what was kept of the content before requireAgent is neither octets nor text");
}

/**
 * @param {Buffer} body
 * @param {number} limit
 */
function within(body, limit) {
  if (body.length > limit)
    throw new NoBody("over", `the content has ${body.length} octets; at most ${limit} are read`);
  return body;
}

/**
 * Whether the head of the request says that nothing follows it.
 *
 * @param {Incoming} stream
 */
function isEmpty(stream) {
  if (stream.httpVersionMajor >= 2) return stream.stream?.endAfterHeaders === true;
  const declared = stream.headers["content-length"];
  return (
    stream.headers["transfer-encoding"] === undefined && (declared === undefined || /^0+$/.test(declared))
  );
}

module.exports = { NoBody, bodyOf, bodyOfRequest, withBody };
