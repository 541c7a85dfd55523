#!/usr/bin/env bash
# fuzz.sh [--keep] [NAME..]: libFuzzer on the laws of kakunin-fuzz, all of them if none is named; docs/fuzzing.md lists them.
# Each runs for KAKUNIN_FUZZ_SECONDS (60) on nightly with KAKUNIN_FUZZ_SANITIZER (address), and goes on from what it knew. With
# --keep the ten inputs that reach most of what seeds and fuzz/corpus do not, up to 4 kB each, are put into fuzz/corpus. A law
# that does not hold is named with what breaks it, and the others are tried all the same.
source "$(dirname "$0")/env.sh"

keep=0
if [ "${1:-}" = --keep ]; then keep=1; shift; fi
seconds="${KAKUNIN_FUZZ_SECONDS:-60}" most=10
cargo +nightly --version >/dev/null 2>&1 || fail "libFuzzer needs a nightly toolchain: \`rustup toolchain install nightly\`"
ensure c++ g++
fuzz="$(scripts/tools.sh cargo-fuzz 0.13.2)"
cargo build --quiet --locked -p kakunin-fuzz
laws="$CARGO_TARGET_DIR/debug/kakunin-fuzz"
names=("$@")
if [ ${#names[@]} = 0 ]; then mapfile -t names < <("$laws" names); fi

# Its lock file is that of the workspace, with libFuzzer: versions do not drift apart.
cp Cargo.lock fuzz/guided/Cargo.lock
work="$CARGO_TARGET_DIR/fuzz"
export CARGO_TARGET_DIR="$work" RUSTUP_TOOLCHAIN=nightly
"$fuzz" fuzz build --fuzz-dir fuzz/guided --sanitizer "${KAKUNIN_FUZZ_SANITIZER:-address}" >&2
built="$(dirname "$(ls -t "$work"/*/release/words | head -1)")"

broken=()
for name in "${names[@]}"; do
  mkdir -p "$work/corpus/$name" "$work/broken/$name" "fuzz/corpus/$name"
  "$laws" seeds "$name" "$work/seeds/$name"
  log="$work/$name.log"
  "$built/$name" "$work/corpus/$name" "fuzz/corpus/$name" "$work/seeds/$name" -max_total_time="$seconds" -max_len=65536 \
    -rss_limit_mb=4096 -timeout=120 -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$work/broken/$name/" >"$log" 2>&1 ||
    { tail -40 "$log" >&2; say "\`$name\` does not hold; what breaks it is in $work/broken/$name"; broken+=("$name"); continue; }
  runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  printf '%-16s held for %10s inputs in %s s\n' "$name" "$runs" "$seconds"
  if [ $keep = 1 ]; then
    # New code, not how often it runs: what is kept is tried in every run of the tests.
    least="$(mktemp -d "$work/least.XXXXXX")" control="$work/$name.merge"
    find "$work/seeds/$name" "fuzz/corpus/$name" -type f -exec cp -n {} "$least/" \;
    rm -f "$control"
    "$built/$name" -set_cover_merge=1 -use_counters=0 -merge_control_file="$control" "$least" "$work/corpus/$name" >>"$log" 2>&1
    python3 scripts/fuzz_least.py "$control" "$most" | while read -r found; do cp -n "$found" "fuzz/corpus/$name/"; done
    rm -rf "$least"
  fi
  rmdir "fuzz/corpus/$name" 2>/dev/null || true
done
[ ${#broken[@]} = 0 ] || fail "these do not hold: ${broken[*]}"
