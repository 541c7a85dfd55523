#!/usr/bin/env bash
# demo.sh: the whole story on one screen, from nothing; exits 0 only if every line of it held.
source "$(dirname "$0")/env.sh"

ensure openssl openssl
export KAKUNIN_CLI="$(scripts/cli.sh)"
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
export PATH="$(dirname "$KAKUNIN_CLI"):$PATH"
exec python3 examples/python/demo.py "$@"
