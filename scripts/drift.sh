#!/usr/bin/env bash
# drift.sh [DIR]: agents work, drift, are suspended and revoked by their receipts alone; the gate refuses their release, and
# every framework is reported from what happened. Everything is left in DIR.
source "$(dirname "$0")/env.sh"

export KAKUNIN_CLI="$(scripts/cli.sh)"
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
exec python3 -W error examples/python/drift/run.py "$@"
