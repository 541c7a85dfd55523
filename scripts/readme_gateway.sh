#!/usr/bin/env bash
# readme_gateway.sh: the page about gateways of the README, as pasted. KAKUNIN_NODE_DEBUG=1 takes debug builds.
source "$(dirname "$0")/env.sh"

ensure curl curl
cli="${KAKUNIN_CLI:-$(scripts/cli.sh)}"
frameworks="$(scripts/npm.sh gateways)/node_modules"
package="$(scripts/node_package.sh)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# What `npm install` would have put here, by the pins.
mkdir -p "$work/page/node_modules" "$work/bin"
ln -s "$frameworks"/* "$work/page/node_modules/"
ln -s "$package" "$work/page/node_modules/kakunin-node"
ln -s "$cli" "$work/bin/kakunin"
ln -s "$(scripts/nodejs.sh 20)" "$work/bin/node"
export PATH="$work/bin:$PATH" NODE_OPTIONS=--no-warnings
cd "$work/page"
# What the five minutes leave behind.
sed -n '/^```toml scope.toml$/,/^```$/{/^```$/q;p}' "$ROOT/README.md" | sed '/^```/d' >scope.toml
kakunin init >/dev/null 2>&1
kakunin agent create billing --scope scope.toml --out agents/billing >/dev/null
python3 "$ROOT/scripts/readme_gateway.py" "$ROOT/README.md" "$work/page"
