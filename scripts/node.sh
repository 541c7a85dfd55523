#!/usr/bin/env bash
# node.sh [MAJOR] [FILE..]: the tests of kakunin-node, on Node MAJOR (20 if not said), run from the package as it is put
# together. KAKUNIN_NODE_DEBUG=1 takes a debug build.
source "$(dirname "$0")/env.sh"

node="$(scripts/nodejs.sh "${1:-20}")"
shift || true
folder="$(scripts/node_package.sh)"
if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-cli >&2
  cli="$CARGO_TARGET_DIR/debug/kakunin"
else
  cli="$(scripts/cli.sh)"
fi
cd "$folder"
tests=("$@")
if [ ${#tests[@]} = 0 ]; then tests=(tests/*.test.mjs); fi
KAKUNIN_CLI="$cli" KAKUNIN_VECTORS="$ROOT/vectors" NODE_OPTIONS=--no-warnings "$node" --test --expose-gc "${tests[@]}"
