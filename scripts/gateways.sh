#!/usr/bin/env bash
# gateways.sh [MAJOR] [FILE..]: the gateways of kakunin-node in front of the frameworks they are for, and what it proves against
# a library of HTTP message signatures, on Node MAJOR (20 if not said). KAKUNIN_NODE_DEBUG=1 takes debug builds.
source "$(dirname "$0")/env.sh"

node="$(scripts/nodejs.sh "${1:-20}")"
shift || true
frameworks="$(scripts/npm.sh gateways)/node_modules"
folder="$(scripts/node_package.sh)"
if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-cli >&2
  cli="$CARGO_TARGET_DIR/debug/kakunin"
else
  cli="$(scripts/cli.sh)"
fi
cd "$folder"
tests=("$@")
if [ ${#tests[@]} = 0 ]; then tests=(tests/gateway/*.test.js); fi
KAKUNIN_CLI="$cli" NODE_PATH="$frameworks" NODE_OPTIONS=--no-warnings "$node" --test "${tests[@]}"
