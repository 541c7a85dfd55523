/** JSON that two readers cannot take for different things: UTF-8 without a byte order mark, no name twice in an object. */
"use strict";

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
 * Whether a content type is JSON in UTF-8, which has no other encoding. It is matched whole: of parameters that are written in any
 * other way, a parser behind the gateway could read another encoding, and with it another content than the one that was proven.
 *
 * @param {string | null | undefined} contentType
 */
function isJson(contentType) {
  return JSON_IN_UTF_8.test(contentType ?? "");
}

/**
 * Whether somebody could take a content for JSON, by its type.
 *
 * @param {string | null | undefined} contentType
 */
function isLikeJson(contentType) {
  return /json/i.test(contentType ?? "");
}

const JSON_IN_UTF_8 = /^[\w.-]+\/(?:[\w.-]+\+)?json(?:[ \t]*;[ \t]*charset=(?:utf-?8|"utf-8"))?[ \t]*$/i;

module.exports = { parseJson, isJson, isLikeJson };
