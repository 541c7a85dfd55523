#!/usr/bin/env bash
# bench.sh [--readme | PART...]: the benchmark tables; every ratio and its floor are measured in the same run.
# With --readme the tables also take the place of those in README.md. With parts (decision, macro, chain, gateway, receipts, sealed, durable,
# verified, log, journal, records, python, node, http; ingest, service, scale) only their rows are printed.
source "$(dirname "$0")/env.sh"

cargo build --release --locked -p kakunin-benches >&2
kakunin="$(scripts/cli.sh)"
benches="$CARGO_TARGET_DIR/release/kakunin-benches"

# part NAME: its rows
part() {
  local package
  case "$1" in
    python)
      PYTHONPATH="$(scripts/python.sh bench --features null-journal)" PYTHONDONTWRITEBYTECODE=1 \
        python3 benches/python/guard.py "$kakunin" "$benches"
      ;;
    node)
      package="$(scripts/node_package.sh bench --features null-journal)"
      # Beside the package, so that it is found by its name.
      cp benches/node/guard.mjs "$package/guard.mjs"
      (cd "$package" && node guard.mjs "$kakunin" "$benches" "$("$ROOT/scripts/npm.sh" node_bench)")
      rm "$package/guard.mjs"
      ;;
    http)
      ensure openssl openssl
      package="$(scripts/node_package.sh)"
      cp benches/node/{http,server,asked}.mjs "$package"
      (cd "$package" && node http.mjs "$kakunin" "$("$ROOT/scripts/npm.sh" gateways)")
      rm "$package"/{http,server,asked}.mjs
      ;;
    # The part `scale` serves with the command line beside it.
    *) "$benches" "$1" ;;
  esac
}

# table PART...: their rows under one head
table() {
  printf '| what | measured | floor | ratio | hold |\n| --- | --- | --- | --- | --- |\n'
  local name
  for name in "$@"; do part "$name"; done
}

guard=(decision macro chain gateway receipts sealed durable verified log journal records python node http)
service=(ingest service scale)

case "${1:-}" in
  "" | --readme)
    table "${guard[@]}" | tee "$CARGO_TARGET_DIR/bench.md"
    printf '\n'
    table "${service[@]}" | tee "$CARGO_TARGET_DIR/bench-service.md"
    if [ "${1:-}" = --readme ]; then
      python3 scripts/readme_bench.py README.md "bench=$CARGO_TARGET_DIR/bench.md" \
        "bench of the service=$CARGO_TARGET_DIR/bench-service.md"
    fi
    ;;
  *) table "$@" ;;
esac
