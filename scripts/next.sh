#!/usr/bin/env bash
# next.sh [MAJOR]: a server of Next with the gateway in front of its route handlers, built and started as for production, on Node
# MAJOR (20 if not said); the pins are scripts/pins/next. The build is kept in the cache as long as the application and its pins stay
# as they are: the package itself is in no bundle. KAKUNIN_NODE_DEBUG=1 takes debug builds.
source "$(dirname "$0")/env.sh"

node="$(scripts/nodejs.sh "${1:-20}")"
installed="$(scripts/npm.sh next)"
folder="$(scripts/node_package.sh)"
if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-cli >&2
  cli="$CARGO_TARGET_DIR/debug/kakunin"
else
  cli="$(scripts/cli.sh)"
fi
export NEXT_TELEMETRY_DISABLED=1

# Modules are found above what imports them, so applications stand below the packages.
cd kakunin-node/tests/next/application
mark="$({ "$node" -v; find . -type f | LC_ALL=C sort | xargs -d '\n' sha256sum; } | sha256sum | cut -c1-16)"
built="$installed/built-$mark"
exec 9>"$built.lock"
flock 9
if [ ! -f "$built/.ready" ]; then
  say "building the application of Next"
  rm -rf "$built"
  mkdir "$built"
  cp -R . "$built/"
  mkdir "$built/node_modules"
  cp -R "$folder" "$built/node_modules/kakunin-node"
  (cd "$built" && "$node" "$installed/node_modules/next/dist/bin/next" build >&2) || fail "next build failed"
  rm -rf "$built/node_modules" "$built/.next/cache"
  touch "$built/.ready"
fi
flock -u 9

application="$(mktemp -d "$installed/run.XXXXXX")"
trap 'rm -rf "$application"' EXIT
cp -R "$built/." "$application"
mkdir "$application/node_modules"
cp -R "$folder" "$application/node_modules/kakunin-node"
cd "$application"
KAKUNIN_CLI="$cli" KAKUNIN_NEXT="$application" "$node" --no-warnings --test node_modules/kakunin-node/tests/next/server.test.js
