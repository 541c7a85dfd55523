#!/usr/bin/env bash
# bench.sh [--readme]: the benchmark table; every ratio and its floor are measured in the same run.
# With --readme the table also takes the place of the one in README.md.
source "$(dirname "$0")/env.sh"

cargo build --release --locked -p kakunin-benches >&2
kakunin="$(scripts/cli.sh)"
export PYTHONPATH="$(scripts/python.sh bench --features null-journal)" PYTHONDONTWRITEBYTECODE=1
benches="$CARGO_TARGET_DIR/release/kakunin-benches"

table() {
  printf '| what | measured | floor | ratio | hold |\n| --- | --- | --- | --- | --- |\n'
  "$benches"
  python3 benches/python/guard.py "$kakunin" "$benches"
}

table | tee "$CARGO_TARGET_DIR/bench.md"
if [ "${1:-}" = --readme ]; then
  python3 scripts/readme_bench.py README.md "$CARGO_TARGET_DIR/bench.md"
fi
