#!/usr/bin/env bash
# soak.sh: the long tests that `make test` leaves out: kills, restarts, budgets under contention.
source "$(dirname "$0")/env.sh"

cargo test --release --workspace --locked -- --ignored soak
if [ -d kakunin-py/tests ]; then
  read -r version python < <(scripts/pythons.sh 3.12)
  KAKUNIN_SOAK=1 scripts/pytest.sh "$version" "$python" -k soak
fi
