#!/usr/bin/env bash
# bench.sh: the benchmark table; every ratio and its floor are measured in the same run.
source "$(dirname "$0")/env.sh"

has_crate benches || fail "absent: benches/"
export PYTHONPATH="$(scripts/wheel.sh)" PYTHONDONTWRITEBYTECODE=1
cargo bench --locked --manifest-path benches/Cargo.toml
for script in benches/python/*.py; do
  [ -e "$script" ] || continue
  python3 "$script"
done
