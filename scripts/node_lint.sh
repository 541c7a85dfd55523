#!/usr/bin/env bash
# node_lint.sh: the JavaScript of the tree: biome, the types of what is written in JSDoc, the typing tests, and the names of
# the native half compared with its types.
source "$(dirname "$0")/env.sh"

tools="$(scripts/npm.sh node_lint)/node_modules"
"$tools/.bin/biome" ci --error-on-warnings --colors=off --config-path scripts/pins/node_lint kakunin-node benches/node examples/node
"$tools/.bin/tsc" --project kakunin-node/tsconfig.json --typeRoots "$tools/@types"
"$tools/.bin/tsc" --project kakunin-node/tests/typing/tsconfig.json --typeRoots "$tools/@types"
node scripts/node_drift.mjs
