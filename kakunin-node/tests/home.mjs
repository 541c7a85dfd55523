/** An authority on disk, used through the command line, and programs of their own. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const PACKAGE = path.join(import.meta.dirname, "..");

/** A folder that is gone at the end of the test. */
export function folder(t) {
  const made = mkdtempSync(path.join(tmpdir(), "kakunin-node-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Runs the command line; a test without it cannot pass. */
export function cli(...args) {
  const command = process.env.KAKUNIN_CLI;
  assert.ok(command, "KAKUNIN_CLI names the command line; scripts/node.sh sets it");
  const ran = spawnSync(command, args.map(String), { encoding: "utf8", input: "" });
  return { code: ran.status, out: ran.stdout + ran.stderr };
}

function must(...args) {
  const { code, out } = cli(...args);
  assert.equal(code, 0, `kakunin ${args.join(" ")}\n${out}`);
  return out;
}

/** A new authority. */
export function home(t) {
  const at = folder(t);
  const place = path.join(at, "home");
  must("init", "--home", place);
  let number = 0;
  return {
    at,
    place,
    root: path.join(place, "public", "ca.pem"),
    create(scope) {
      number += 1;
      const name = `agent-${number}`;
      const file = path.join(at, `scope-${number}.json`);
      const directory = path.join(at, name);
      writeFileSync(file, JSON.stringify(scope));
      must("agent", "create", name, "--scope", file, "--out", directory, "--home", place);
      return { name, directory };
    },
    order: (...args) => must(...args, "--home", place),
  };
}

/** A program of its own: an ES module, with this package by its name. */
export function program(script, args = [], env = {}, options = []) {
  return spawn(process.execPath, [...options, "--input-type=module", "-e", script, "--", ...args], {
    cwd: PACKAGE,
    env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** What a program wrote, and how it ended. */
export async function ended(child) {
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    err += text;
  });
  const [code, signal] = await new Promise((resolve) => child.on("close", (...how) => resolve(how)));
  return { out, err, code, signal };
}
