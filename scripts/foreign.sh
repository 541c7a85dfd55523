#!/usr/bin/env bash
# foreign.sh: the example incident, verified by a script that was written from docs/wire.md alone: it finds what
# `kakunin verify` finds, and refuses what was changed.
source "$(dirname "$0")/env.sh"

venv="$(scripts/venv.sh foreign python3 $(pins foreign pytest))"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
scripts/incident.sh "$work/incident" >&2

export KAKUNIN_CLI="$(scripts/cli.sh)" KAKUNIN_INCIDENT="$work/incident" PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH
"$venv/bin/python" -m pytest -q -p no:cacheprovider --confcutdir kakunin-py/tests/foreign kakunin-py/tests/foreign
