#!/usr/bin/env bash
# readme_drift.sh: run the README's part about drift, a release and an audit as pasted, behind its five minutes.
source "$(dirname "$0")/env.sh"

cli="$(scripts/cli.sh)"
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
base="$(scripts/venv.sh empty python3)"
export PATH="$(dirname "$cli"):$base/bin:$PATH"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
# What the five minutes leave behind, without what they install.
sed -n '/^```toml scope.toml$/,/^```$/p' "$ROOT/README.md" | sed '1d;/^```$/,$d' >scope.toml
kakunin init >/dev/null 2>&1
kakunin agent create billing --scope scope.toml --out agents/billing >/dev/null
python "$ROOT/scripts/readme_path.py" "$ROOT/README.md" "$work" "drift, a release, an audit"
[ -s report.html ]
