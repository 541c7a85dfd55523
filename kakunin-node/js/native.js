/**
 * Finds and loads the native half. It is looked for in this package and nowhere else: a variable of the environment that
 * names another library could replace the guard by one that allows everything.
 */
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const { version } = require("../package.json");

const FOLDER = path.join(__dirname, "..", "native");

/** The name of the library for this platform. */
function library() {
  const musl = process.platform === "linux" && !usesGlibc() ? "-musl" : "";
  return `kakunin.${process.platform}-${process.arch}${musl}.node`;
}

function usesGlibc() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (
    /** @type {unknown} */ (process.report.getReport())
  );
  return report.header.glibcVersionRuntime !== undefined;
}

/** @returns {typeof import("./native")} */
function load() {
  const file = path.join(FOLDER, library());
  if (!fs.existsSync(file)) {
    const others = fs.existsSync(FOLDER)
      ? fs.readdirSync(FOLDER).filter((name) => name.endsWith(".node"))
      : [];
    throw new Error(
      `kakunin-node has no native half for this platform: ${file} does not exist` +
        ` (there is: ${others.join(", ") || "none"}); fix: install the package for this platform,` +
        " or build it with scripts/node_package.sh",
    );
  }
  const native = require(file);
  if (native.version() !== version) {
    throw new Error(
      `the native half of kakunin-node is of version ${native.version()} and its JavaScript of ${version}` +
        `: ${file}; fix: install the package anew`,
    );
  }
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH !== undefined) {
    process.emitWarning(
      "NAPI_RS_NATIVE_LIBRARY_PATH is set and ignored: kakunin-node loads its own native half only",
      "KakuninWarning",
    );
  }
  return native;
}

module.exports = load();
