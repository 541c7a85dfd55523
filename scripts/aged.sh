#!/usr/bin/env bash
# aged.sh: build the program that makes an authority of some hours ago, and print its path.
source "$(dirname "$0")/env.sh"

# Without naming its crate, whose features `cargo test` of the workspace has built already.
cargo build --quiet --locked --example aged >&2
echo "$CARGO_TARGET_DIR/debug/examples/aged"
