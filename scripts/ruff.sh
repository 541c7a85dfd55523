#!/usr/bin/env bash
# ruff.sh: Python lint and formatting.
source "$(dirname "$0")/env.sh"

ruff="$(scripts/venv.sh ruff python3 $(pins ruff))/bin/ruff"
"$ruff" check .
"$ruff" format --check .
