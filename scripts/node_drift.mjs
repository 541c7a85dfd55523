/**
 * Compares js/native.d.ts, which is written by hand, with the functions that src/ exports: names, and the names and order of
 * their parameters. What only benches build is left out.
 */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const PACKAGE = path.join(import.meta.dirname, "..", "kakunin-node");
const FUNCTION = /((?:#\[[^\n]*\]\n)*)#\[napi[^\n]*\]\n(?:#\[[^\n]*\]\n)*pub(?:\(crate\))? fn (\w+)\(([^)]*)\)/g;
const DECLARED = /^export function (\w+)\(([^)]*)\)/gms;

const camel = (name) => name.replace(/^_/, "").replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
const parameters = (text) => text.split(/,(?![^<[(]*[>\])])/).map((part) => part.trim()).filter(Boolean);

const exported = new Map();
for (const file of readdirSync(path.join(PACKAGE, "src"))) {
  if (file === "bench.rs") continue;
  const text = readFileSync(path.join(PACKAGE, "src", file), "utf8");
  for (const [, before, name, list] of text.matchAll(FUNCTION)) {
    if (before.includes("null-journal")) continue;
    const taken = parameters(list).filter((part) => !/^_?env: &?Env$/.test(part));
    exported.set(camel(name), taken.map((part) => camel(part.split(":")[0])).join(", "));
  }
}

const declared = new Map();
for (const [, name, list] of readFileSync(path.join(PACKAGE, "js", "native.d.ts"), "utf8").matchAll(DECLARED)) {
  declared.set(name, parameters(list).map((part) => part.split(/[?:]/)[0]).join(", "));
}

const wrong = [];
for (const name of new Set([...exported.keys(), ...declared.keys()])) {
  if (exported.get(name) !== declared.get(name)) {
    wrong.push(`${name}: src has (${exported.get(name) ?? "nothing"}), native.d.ts has (${declared.get(name) ?? "nothing"})`);
  }
}
if (wrong.length > 0 || exported.size === 0) {
  console.error(wrong.join("\n") || "no native function was found");
  process.exit(1);
}
console.log(`${exported.size} native functions have the types that are written for them`);
