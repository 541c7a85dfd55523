#!/usr/bin/env bash
# soak.sh: the long counts that `make test` does a tenth of: 1,000 kills of a process that journals, 800 of processes
# that spend from one budget. The tests are the same; KAKUNIN_SOAK raises their rounds.
source "$(dirname "$0")/env.sh"

export KAKUNIN_SOAK=1
exec cargo test -p kakunin-core --locked --test it -- --nocapture \
  no_acknowledged_receipt_is_lost_when_the_process_is_killed eight_processes_killed_at_random_never_exceed_the_window
