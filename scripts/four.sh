#!/usr/bin/env bash
# four.sh: run the README's four commands as pasted, in three terminals: an authority is served, an agent is named and
# enrolled, it pays in a loop, in Python and in Node, and is revoked from another terminal.
source "$(dirname "$0")/env.sh"

ensure curl curl
export KAKUNIN_CLI="$(scripts/cli.sh)" PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH="$(scripts/python.sh)"
base="$(scripts/venv.sh empty python3)"
export PATH="$(dirname "$KAKUNIN_CLI"):$(dirname "$(scripts/nodejs.sh 20)"):$base/bin:$PATH"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/node_modules"
ln -s "$(scripts/node_package.sh)" "$work/node_modules/kakunin-node"
python "$ROOT/scripts/readme_service.py" "$ROOT/README.md" "$ROOT/examples" "$work"
# Every receipt is genuine, and no witness has seen the last one.
ended=0
(cd "$work" && kakunin verify .kakunin/agents/billing --root .kakunin/agents/billing/ca.pem) || ended=$?
[ $ended = 3 ] || fail "kakunin verify ended with $ended and not with 3"
