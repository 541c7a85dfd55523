#!/usr/bin/env bash
# node_package.sh: put the package `kakunin-node` together, with the extension of the release build, and print its folder.
# With KAKUNIN_NODE_DEBUG=1 the extension is of a debug build, made here. The tests of the package stand beside it and are
# not packed.
source "$(dirname "$0")/env.sh"

ensure node nodejs

if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-node >&2
  built="$CARGO_TARGET_DIR/debug"
else
  built="$CARGO_TARGET_DIR/release"
  [ -f "$built/libkakunin_node.so" ] || scripts/release.sh
fi

folder="$CARGO_TARGET_DIR/node/kakunin-node"
mkdir -p "$folder"
# One at a time: two stages may want it at once.
exec 9>"$folder.lock"
flock 9
for part in package.json LICENSE-APACHE LICENSE-MIT js tests; do
  rm -rf "${folder:?}/$part"
  cp -r "kakunin-node/$part" "$folder/"
done
mkdir -p "$folder/native"
name="kakunin.$(node -p 'process.platform + "-" + process.arch').node"
cp "$built/libkakunin_node.so" "$folder/native/.$name"
mv "$folder/native/.$name" "$folder/native/$name"
echo "$folder"
