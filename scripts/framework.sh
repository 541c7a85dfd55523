#!/usr/bin/env bash
# framework.sh NAME: the tests of one framework in an environment of its own; its pins are scripts/pins/NAME.txt.
source "$(dirname "$0")/env.sh"

name="$1"
unpacked="$(scripts/python.sh)"
venv="$(scripts/venv.sh "$name" python3 $(pins pytest "$name"))"
if has_crate kakunin-cli; then export KAKUNIN_CLI="$(scripts/cli.sh)"; fi
export PYTHONPATH="$unpacked" PYTHONDONTWRITEBYTECODE=1 PATH="$venv/bin:$PATH"
exec python -m pytest -q -p no:cacheprovider "kakunin-py/tests/frameworks/$name"
