// Behaviour risk: the shared vectors, and what is refused.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { KakuninError, riskReplay } from "kakunin-node";

const FOLDER = path.join(process.env.KAKUNIN_VECTORS ?? "", "risk");
const file = (name) => path.join(FOLDER, name);
const OPTIONS = { baseline: file("baseline.json"), roots: file("root.pem"), policy: file("policy.toml") };

test("node_finds_the_risk_of_the_vectors_as_every_language_does", () => {
  const expected = JSON.parse(readFileSync(file("expected.json"), "utf8"));
  assert.deepEqual(riskReplay(file("receipts.jsonl"), OPTIONS), expected);
  const bytes = {
    ...OPTIONS,
    baseline: readFileSync(OPTIONS.baseline),
    roots: [readFileSync(OPTIONS.roots)],
  };
  assert.equal(riskReplay(file("receipts.jsonl"), bytes).digest, expected.digest);
});

test("node_never_tells_the_risk_of_receipts_that_are_not_proven", (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "kakunin-risk-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const lines = readFileSync(file("receipts.jsonl"), "utf8").trimEnd().split("\n");
  const wrong = path.join(folder, "receipts.jsonl");
  for (const [kept, part] of [
    [lines.toSpliced(20, 1), /line 21: receipt/],
    [lines.filter((line) => !line.includes("certificate")), /no line before it has its certificate/],
    [[...lines.slice(0, 20), `${lines[20].slice(0, -8)}AAAAA"}`], /line 21/],
    [["{}"], /line 1: it is neither/],
  ]) {
    writeFileSync(wrong, kept.join("\n"));
    assert.throws(
      () => riskReplay(wrong, OPTIONS),
      (error) => error instanceof KakuninError && part.test(error.message),
    );
  }
  assert.throws(
    () => riskReplay(file("receipts.jsonl"), { ...OPTIONS, roots: Buffer.from("") }),
    KakuninError,
  );
});

test("node_tells_no_level_by_a_wrong_policy_or_baseline", () => {
  const ask = (changed) => () => riskReplay(file("receipts.jsonl"), { ...OPTIONS, ...changed });
  assert.throws(ask({ policy: Buffer.from("window = 50\nwindw = 60\n") }), /line 2: unknown key `windw`/);
  const text = readFileSync(OPTIONS.baseline, "utf8").replace('"version":1', '"version":1,"x":1');
  assert.throws(ask({ baseline: Buffer.from(text) }), /one spelling/);
  assert.throws(ask({ agent: "billing" }), /no id of an agent/);
  assert.throws(ask({ basline: "x" }), TypeError);
});
