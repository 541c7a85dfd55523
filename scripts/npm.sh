#!/usr/bin/env bash
# npm.sh NAME: install the packages of scripts/pins/NAME (package.json and package-lock.json) into the cache, and print the
# folder. Nothing is installed into the tree.
source "$(dirname "$0")/env.sh"

ensure node nodejs
ensure npm npm
pins="$ROOT/scripts/pins/$1"
[ -f "$pins/package-lock.json" ] || fail "no scripts/pins/$1/package-lock.json; make one with \`npm install --package-lock-only\`"
mark="$(cat "$pins/package.json" "$pins/package-lock.json" | sha256sum | cut -c1-16)"
folder="$CACHE/node/$1-$mark"
mkdir -p "$CACHE/node"
exec 9>"$folder.lock"
flock 9
if [ ! -f "$folder/installed" ]; then
  say "installing the npm packages of scripts/pins/$1"
  rm -rf "$folder"
  mkdir "$folder"
  cp "$pins/package.json" "$pins/package-lock.json" "$folder/"
  npm ci --silent --no-fund --no-audit --ignore-scripts --prefix "$folder" >&2 || fail "npm ci failed for scripts/pins/$1"
  touch "$folder/installed"
fi
echo "$folder"
