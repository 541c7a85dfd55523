#!/usr/bin/env bash
# archive.sh [ARGUMENT...]: `kakunin archive` against moto and against a strict server of our own, over HTTP.
source "$(dirname "$0")/env.sh"

export KAKUNIN_CLI="$(scripts/cli_whole.sh)" PYTHONDONTWRITEBYTECODE=1
venv="$(scripts/venv.sh archive python3 $(pins pytest archive))"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider --timeout 300 kakunin-cli/tests/s3 "$@"
