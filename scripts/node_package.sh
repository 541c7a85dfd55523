#!/usr/bin/env bash
# node_package.sh [NAME OPTION...]: put the package `kakunin-node` together, with the extension of the release build and its
# tests beside it, and print its folder. With a NAME the extension is built with these options of cargo and kept apart from
# the one that is shipped. With KAKUNIN_NODE_DEBUG=1 it is of a debug build.
source "$(dirname "$0")/env.sh"

ensure node nodejs

folder="$CARGO_TARGET_DIR/node/kakunin-node${1:+-$1}"
mkdir -p "$CARGO_TARGET_DIR/node"
# Builds of either kind leave the extension in one place, so building and copying are one step.
exec 9>"$CARGO_TARGET_DIR/node.lock"
flock 9
built="$CARGO_TARGET_DIR/release"
if [ $# -gt 0 ]; then
  shift
  cargo build --release --locked -p kakunin-node "$@" >&2
elif [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-node >&2
  built="$CARGO_TARGET_DIR/debug"
else
  scripts/release.sh
fi

# Whoever runs from the folder has its files open: the package is exchanged whole, and only if it differs.
fresh="$(mktemp -d "$CARGO_TARGET_DIR/node/fresh.XXXXXX")"
trap 'rm -rf "$fresh"' EXIT
cp -R kakunin-node/package.json kakunin-node/README.md kakunin-node/LICENSE-APACHE kakunin-node/LICENSE-MIT kakunin-node/js \
  kakunin-node/tests "$fresh"
mkdir "$fresh/native"
cp "$built/libkakunin_node.so" "$fresh/native/kakunin.$(node -p 'process.platform + "-" + process.arch').node"
if ! diff -rq "$fresh" "$folder" >/dev/null 2>&1; then
  rm -rf "$folder"
  mv "$fresh" "$folder"
  chmod 755 "$folder"
fi
echo "$folder"
