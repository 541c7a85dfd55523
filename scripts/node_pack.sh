#!/usr/bin/env bash
# node_pack.sh [MAJOR]: pack kakunin-node as it would be published, install it into an empty folder on Node MAJOR (20 if not
# said), and run the Node part of the README there as it is pasted: modules, `require`, and both at once.
source "$(dirname "$0")/env.sh"

node="$(scripts/nodejs.sh "${1:-20}")"
package="$(scripts/node_package.sh)"
if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cli="$CARGO_TARGET_DIR/debug/kakunin"
else
  cli="$(scripts/cli.sh)"
fi
npm="$(command -v npm)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/new"
ln -s "$node" "$work/bin/node"
ln -s "$cli" "$work/bin/kakunin"
export PATH="$work/bin:$PATH"
export npm_config_offline=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false

(cd "$package" && node "$npm" pack --silent --pack-destination "$work/new") >&2
if tar -tzf "$work"/new/kakunin-node-*.tgz | grep -E '/(tests|src)/'; then fail "the package holds what only its tests need"; fi
python3 scripts/readme_path.py README.md "$work/new" node

cd "$work/new"
cat >both.mjs <<'JS'
import { createRequire } from "node:module";
import * as modules from "kakunin-node";
import * as testing from "kakunin-node/testing";

const required = createRequire(import.meta.url)("kakunin-node");
for (const name of Object.keys(required)) {
  if (modules[name] !== required[name]) throw new Error(`\`${name}\` is not the same by import and by require`);
}
const agent = new testing.MemoryAuthority().issue({ actions: ["read:*"] });
const ran = modules.runAs(agent, () => required.guard("read:x", {}, () => "ran")());
try {
  modules.runAs(agent, () => required.guard("write:x", {}, () => "ran")());
} catch (error) {
  if (!(error instanceof modules.ScopeDenied)) throw error;
  console.log(ran, error.code, process.version);
}
JS
[[ "$(node both.mjs)" == "ran scope.action v${1:-20}."* ]] || fail "import and require do not go together"
say "kakunin-node works as it is packed on $(node --version)"
