#!/usr/bin/env bash
# aged.sh: build the program that makes an authority of some hours ago, and print its path.
source "$(dirname "$0")/env.sh"

# With the features of scripts/tests.sh, which has built it already.
cargo build --quiet --workspace --locked --features "$HEAVY" --example aged >&2
echo "$CARGO_TARGET_DIR/debug/examples/aged"
