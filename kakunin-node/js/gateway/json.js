/** JSON that two readers cannot take for different things: UTF-8 without a byte order mark, no name twice in an object. */
"use strict";

const native = require("../native");

/**
 * The value, or a `SyntaxError`.
 *
 * @param {Uint8Array} octets
 * @returns {any}
 */
function parseJson(octets) {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  const value = JSON.parse(text);
  refuseRepeatedNames(text);
  return value;
}

/**
 * Walks over a text that is JSON. `JSON.parse` keeps the last of two members of one name; others keep the first.
 *
 * @param {string} text
 */
function refuseRepeatedNames(text) {
  /** @type {(Set<string> | null)[]} */
  const open = [];
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === "{") open.push(new Set());
    else if (letter === "[") open.push(null);
    else if (letter === "}" || letter === "]") open.pop();
    else if (letter === '"') {
      const end = endOfString(text, at);
      const names = open.at(-1);
      if (names && isName(text, end)) {
        const name = JSON.parse(text.slice(at, end));
        if (names.has(name))
          throw new SyntaxError(`the name ${JSON.stringify(name)} is there twice in one object`);
        names.add(name);
      }
      at = end - 1;
    }
  }
}

/**
 * @param {string} text
 * @param {number} start
 */
function endOfString(text, start) {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/**
 * @param {string} text
 * @param {number} after
 */
function isName(text, after) {
  let at = after;
  while (" \t\r\n".includes(text[at] ?? "-")) at += 1;
  return text[at] === ":";
}

/**
 * What the fields of a request say of its content: `json`, `other`, or `doubtful` where a parser behind the gateway could read
 * another JSON in it than the one that was proven. One rule for all languages, in Rust.
 *
 * @param {readonly string[]} fields
 * @returns {string}
 */
function said(fields) {
  /** @type {string[]} */
  const ours = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = "", value = ""] = fields.slice(at, at + 2);
    if (/^content-(?:type|encoding)$/i.test(name)) ours.push(name, value);
  }
  return native.jsonSaid(ours);
}

module.exports = { parseJson, said };
