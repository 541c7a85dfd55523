#!/usr/bin/env bash
# five_minutes.sh: run the README's five-minute path as pasted, in an empty environment, with the wheels in dist/.
source "$(dirname "$0")/env.sh"

ls dist/kakunin_py-*.whl dist/kakunin_cli-*.whl >/dev/null || fail "no wheels in dist/; run \`make dist\`"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
base="$(scripts/venv.sh empty python3)"
"$base/bin/python" -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH"
unset PYTHONPATH
mkdir "$work/new"
ln -s "$ROOT/dist" "$work/new/dist"
python "$ROOT/scripts/readme_path.py" "$ROOT/README.md" "$work/new"
# What the README says below the path: every receipt is genuine, and no witness has seen the last one.
ended=0
(cd "$work/new" && kakunin verify agents/billing --root .kakunin/public/ca.pem) || ended=$?
[ $ended = 3 ] || fail "kakunin verify ended with $ended and not with 3"
