#!/usr/bin/env bash
# soak.sh: the long counts, of which `make test` does a tenth or less: 1,000 kills of a process that journals and of one
# that logs, 300 of one that seals or syncs, 800 of processes that spend from one budget; each octet of fifty receipts
# flipped, in a journal, in a bundle, and in a bundle whose digests agree again; a log of a million entries; fifty times the random inputs of each law. The tests are
# the same; KAKUNIN_SOAK raises their rounds, and they are built as they are shipped, since they verify 200,000 times. Then a
# bundle of a million receipts is verified in the memory that a small one takes: 4 GB in $TMPDIR. Then the service: 200
# kills under load, 30 with its records on PostgreSQL and 30 of that server; slow clients until they are dropped, and how
# long revocations take in a flood.
source "$(dirname "$0")/env.sh"

export KAKUNIN_SOAK=1
cargo test --release -p kakunin-core --locked --test it -- --nocapture \
  no_acknowledged_receipt_is_lost_when_the_process_is_killed \
  no_synced_and_no_sealed_receipt_is_lost_when_the_process_is_killed \
  no_acknowledged_entry_is_lost_when_the_process_is_killed \
  eight_processes_killed_at_random_never_exceed_the_window \
  octets:: \
  a_proof_reads_three_tiles_and_one_bundle_however_long_the_log_is

cargo test --release -p kakunin-fuzz --locked --test it -- --nocapture

cargo build --release --locked -p kakunin-benches
benches="$CARGO_TARGET_DIR/release/kakunin-benches"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$benches" sample "$work" 1000000
most="$("$benches" peak "$work")"
echo "a bundle of 1,000,000 receipts was verified in $most kB"
[ "$most" -le 32768 ] || fail "verifying takes more than 32 MB"

cargo test --release -p kakunin-cli --locked --test it -- --nocapture --test-threads 1 \
  a_service_killed_at_any_moment_under_load_keeps_all_that_it_said crowds::
scripts/postgres.sh scripts/nodes.sh 30
