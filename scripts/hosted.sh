#!/usr/bin/env bash
# hosted.sh [ARGUMENT...]: the published client of the hosted service, kakunin 0.2.0, against `kakunin serve`.
source "$(dirname "$0")/env.sh"

export KAKUNIN_CLI="${KAKUNIN_CLI:-$(scripts/cli.sh)}" PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH
venv="$(scripts/venv.sh hosted python3 $(pins pytest hosted))"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider --confcutdir kakunin-cli/tests/hosted kakunin-cli/tests/hosted "$@"
