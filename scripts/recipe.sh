#!/usr/bin/env bash
# recipe.sh: follow VERIFY.md of an exported bundle to the letter, with tools that know nothing of Kakunin: every block
# of code in it is run as it stands there, for every receipt with a signature of its own, in an empty environment.
source "$(dirname "$0")/env.sh"

JOSE=6.2.18
ensure openssl openssl
ensure node nodejs
ensure npm npm

jose="$CACHE/node/jose-$JOSE"
if [ ! -d "$jose/node_modules/jose" ]; then
  npm install --silent --no-fund --no-audit --prefix "$jose" "jose@$JOSE" >&2
fi
venv="$(scripts/venv.sh recipe python3 $(pins recipe))"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
scripts/incident.sh "$work/incident" >&2
python3 -m zipfile -e "$work/incident/incident.zip" "$work/bundle"
cat "$work"/incident/{shop,bank}.pem >"$work/bundle/root.pem"

# The path finds the stock tools and nothing of this project.
export PATH="$venv/bin:/usr/local/bin:/usr/bin:/bin"
unset PYTHONPATH KAKUNIN_CLI

python3 scripts/recipe.py "$work/bundle" "$jose/node_modules"
