#!/usr/bin/env bash
# python.sh [NAME OPTION...]: build the extension and lay the package out as its wheel unpacks; print the folder to put
# on PYTHONPATH. With a NAME the extension is built with these options of cargo and kept apart from the one that is
# shipped. One abi3 extension serves every interpreter and is never installed into a cached environment, which other
# checkouts share. The wheel itself is made and tried by dist.sh.
source "$(dirname "$0")/env.sh"

folder="$CARGO_TARGET_DIR/python${1:+-$1}"
mkdir -p "$folder"
# Builds of either kind leave the extension in one place, so building and copying are one step.
exec 9>"$CARGO_TARGET_DIR/python.lock"
flock 9
if [ $# -gt 0 ]; then
  shift
  cargo build --release --locked -p kakunin-py "$@" >&2
else
  scripts/release.sh
fi

# Whoever runs from the folder has its files open: the package is exchanged whole, and only if it differs.
fresh="$(mktemp -d "$folder/fresh.XXXXXX")"
trap 'rm -rf "$fresh"' EXIT
cp -R kakunin-py/python/kakunin "$fresh"
find "$fresh" -name __pycache__ -prune -exec rm -rf {} +
cp "$CARGO_TARGET_DIR/release/lib_native.so" "$fresh/kakunin/_native.abi3.so"
if ! diff -rq "$fresh/kakunin" "$folder/kakunin" >/dev/null 2>&1; then
  rm -rf "$folder/kakunin"
  mv "$fresh/kakunin" "$folder/kakunin"
fi
echo "$folder"
