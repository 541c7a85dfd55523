#!/usr/bin/env bash
# tools.sh CRATE VERSION: print the path of a cargo tool, built once into the cache.
source "$(dirname "$0")/env.sh"

crate="$1" version="$2"
root="$CACHE/tools/$crate-$version"

mkdir -p "$CACHE/tools"
exec 9>"$root.lock"
flock 9
if [ ! -x "$root/bin/$crate" ]; then
  say "building $crate $version (once; it stays in $CACHE)"
  # A directory of its own: the workspace's profile and flags are not for tools.
  (cd / && env -u RUSTFLAGS CARGO_TARGET_DIR="$root/build" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --locked --quiet --root "$root" "$crate@$version") >&2
  rm -rf "$root/build"
fi
echo "$root/bin/$crate"
