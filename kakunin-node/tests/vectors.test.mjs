// The shared vectors, through the conversions that every guarded call of this package makes.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";

import { DENIAL_CODES } from "kakunin-node";

const require = createRequire(import.meta.url);
const native = require("../js/native.js");
const { DECIMAL, MINOR, WRITTEN, values } = require("../js/values.js");

const FOLDER = process.env.KAKUNIN_VECTORS;

function read(name) {
  assert.ok(FOLDER, "KAKUNIN_VECTORS names the folder of the vectors; scripts/node.sh sets it");
  const vectors = JSON.parse(readFileSync(path.join(FOLDER, name), "utf8"));
  assert.equal(vectors.format, 1);
  return vectors;
}

/** Each way that JavaScript may hand over the amount of a request: kind, value. */
function readings(request) {
  if (request.amount_minor !== undefined) {
    const minor = BigInt(request.amount_minor);
    const safe = Number.isSafeInteger(Number(minor));
    return [[MINOR, minor], ...(safe ? [[MINOR, Number(minor)]] : [])];
  }
  if (request.as_written !== undefined) return [[WRITTEN, JSON.parse(request.as_written)]];
  if (unreadable(request.amount)) {
    return [true, 12.5, 5, 5n, Buffer.from("5"), ["5"], {}, Symbol("5")].map((value) => [DECIMAL, value]);
  }
  return [
    [DECIMAL, request.amount],
    [WRITTEN, request.amount],
  ];
}

function names(value) {
  if (unreadable(value)) return [7, Buffer.from("acme"), { name: "acme" }, true, new String("acme")];
  return Array.isArray(value) && new Set(value).size === value.length ? [value, new Set(value)] : [value];
}

function unreadable(value) {
  return typeof value === "object" && value !== null && value.unreadable === true;
}

test("node_answers_every_vector", () => {
  const vectors = read("cases.json");
  const joined = (keys, from) => keys.map((key) => from[key]).join("");
  const judges = new Map(
    Object.entries(vectors.setups).map(([name, setup]) => [
      name,
      native.judgeNew(
        joined([setup.agent], vectors.certificates),
        joined(setup.chain, vectors.certificates),
        joined(setup.roots, vectors.certificates),
        joined(setup.lists, vectors.lists),
        joined(setup.kept, vectors.lists) || undefined,
        setup.names.map((root) => vectors.names[root]),
      ),
    ]),
  );
  let asked = 0;
  for (const { name, setup, at, request, expect } of vectors.cases) {
    const plan = native.plan(request.action);
    for (const [kind, amount] of readings(request)) {
      for (const party of names(request.counterparty)) {
        for (const resource of names(request.resource)) {
          const given = values(kind, amount, request.currency, party, resource);
          const answer = native.judgeAnswer(
            judges.get(setup),
            plan,
            Date.parse(at),
            given.shape,
            given.number,
            given.amount,
            given.currency,
            given.counterparty,
            given.resource,
          );
          assert.equal(answer, expect, `${name}: ${String(amount)}`);
          asked += 1;
        }
      }
    }
    native.releasePlan(plan);
  }
  assert.ok(vectors.cases.length > 150 && asked > vectors.cases.length);
});

test("node_answers_the_vectors_of_the_host", () => {
  const vectors = read("host.json");
  for (const { json, text } of vectors.numbers) {
    assert.equal(native.writtenText(JSON.parse(json)) ?? null, text, json);
    assert.equal(spelled(JSON.parse(json)), text, json);
  }
  for (const { name, value, asks } of vectors.variables)
    assert.equal(native.asksForLess(name, value), asks, name);
  const told = new Set(vectors.variables.map(({ name }) => name));
  for (const name of native.looseningVariables()) assert.ok(told.has(name), name);
});

/** The same from what the language prints: an oracle of its own. */
function spelled(number) {
  const text = Object.is(number, -0) ? "-0" : String(number);
  const digits = text.replace(/\D/g, "").length;
  // A float below 0.0001 is written with an exponent by other languages, and refused in all of them.
  return /^[\d.]+$/.test(text) && digits <= 15 && !(number > 0 && number < 1e-4) ? text : null;
}

test("node_reads_numbers_as_the_language_prints_them", () => {
  let state = 7;
  const random = () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
  for (let turn = 0; turn < 50_000; turn += 1) {
    const numbers = [
      Math.round(random() * 10 ** 8) / 100,
      random() * 10 ** Math.floor(random() * 22 - 6),
      Math.floor(random() * 10 ** 16),
      -random(),
    ];
    for (const number of numbers)
      assert.equal(native.writtenText(number) ?? null, spelled(number), String(number));
  }
});

test("node_makes_the_disclosures_and_commitments_of_the_vectors", () => {
  const vectors = read("values.json");
  for (const { name, salt, value, disclosure, commitment } of vectors.values) {
    const made = Buffer.from(JSON.stringify([salt, vectors.member, value])).toString("base64url");
    assert.equal(made, disclosure, name);
    assert.equal(createHash("sha256").update(made).digest("base64url"), commitment, name);
  }
  assert.ok(vectors.values.length > 10);
});

test("node_answers_every_delta_vector", () => {
  const vectors = read("deltas.json");
  const der = (pem) => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
  const issuing = der(vectors.issuing);
  for (const { name, list, delta, expect } of vectors.cases) {
    const standings = expect.standings ?? { "01": expect.refused };
    for (const [serial, word] of Object.entries(standings))
      assert.equal(native.updatedStanding(issuing, der(list), der(delta), serial), word, `${name} ${serial}`);
  }
  assert.ok(vectors.cases.length > 20);
});

test("node_has_every_code_of_the_table", () => {
  const codes = read("cases.json").cases.map(({ expect }) => expect);
  for (const code of codes) assert.ok(code === "allow" || DENIAL_CODES.includes(code), code);
  assert.ok(DENIAL_CODES.includes("internal"));
});
