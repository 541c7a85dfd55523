#!/usr/bin/env bash
# vectors.sh [--check]: write the shared test vectors from their seed, or fail if the stored ones differ.
source "$(dirname "$0")/env.sh"

# Without naming its crate, whose features `cargo test` of the workspace has built already.
exec cargo run --quiet --locked --example vectors -- "$@"
