#!/usr/bin/env bash
# node_lint.sh: the JavaScript of the tree: biome, the types of what is written in JSDoc, and the typing tests.
source "$(dirname "$0")/env.sh"

tools="$(scripts/npm.sh node_lint)/node_modules"
"$tools/.bin/biome" ci --error-on-warnings --colors=off --config-path scripts/pins/node_lint kakunin-node
"$tools/.bin/tsc" --project kakunin-node/tsconfig.json --typeRoots "$tools/@types"
