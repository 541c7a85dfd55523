#!/usr/bin/env bash
# eval_drift.sh [--tune [N]]: how soon drift is noticed and how often there is none, on sequences that nobody here wrote.
source "$(dirname "$0")/env.sh"

cargo build --quiet --locked -p kakunin-core --example drift
venv="$(scripts/venv.sh drift python3 $(pins agentdojo) $(pins drift))"
export DRIFT="$CARGO_TARGET_DIR/debug/examples/drift" PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" eval/drift.py "$@"
