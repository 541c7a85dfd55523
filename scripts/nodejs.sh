#!/usr/bin/env bash
# nodejs.sh MAJOR: print the path of a Node of this major version: the one in PATH, or the npm package of its binary in the
# cache, by the pins below.
source "$(dirname "$0")/env.sh"

ensure node nodejs
ensure npm npm
if [ "$(node -p 'process.versions.node.split(".")[0]')" = "$1" ]; then
  command -v node
  exit
fi
case "$1" in
  20) version=20.20.2 ;;
  22) version=22.23.3 ;;
  24) version=24.21.0 ;;
  *) fail "no pin for Node $1 in scripts/nodejs.sh" ;;
esac
package="node-linux-$(node -p 'process.arch')"
folder="$CACHE/node/$package-$version"
mkdir -p "$CACHE/node"
exec 9>"$folder.lock"
flock 9
if [ ! -x "$folder/node_modules/$package/bin/node" ]; then
  npm install --silent --no-fund --no-audit --prefix "$folder" "$package@$version" >&2
fi
echo "$folder/node_modules/$package/bin/node"
