#!/usr/bin/env bash
# node_frameworks.sh: the tests of kakunin-node with frameworks for agents; their pins are scripts/pins/node_frameworks.
source "$(dirname "$0")/env.sh"

package="$(scripts/node_package.sh)"
packages="$(scripts/npm.sh node_frameworks)"
folder="$(mktemp -d "$CARGO_TARGET_DIR/node/frameworks.XXXXXX")"
trap 'rm -rf "$folder"' EXIT
cp -R "$package/." "$folder"
ln -s "$packages/node_modules" "$folder/node_modules"
cd "$folder"
node --no-warnings --test tests/frameworks/*.test.mjs
