#!/usr/bin/env bash
# archive.sh [ARGUMENT...]: `kakunin archive` against moto and against a strict server of our own, over HTTP.
# The binary is the debug build with S3: a release build would optimise the whole SDK once more.
source "$(dirname "$0")/env.sh"

scripts/tests.sh --no-run >&2
export KAKUNIN_CLI="$CARGO_TARGET_DIR/debug/kakunin" PYTHONDONTWRITEBYTECODE=1
venv="$(scripts/venv.sh archive python3 $(pins pytest archive))"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider --timeout 300 kakunin-cli/tests/s3 "$@"
