#!/usr/bin/env bash
# vectors.sh [--check]: write the shared test vectors from their seed, or fail if the stored ones differ.
source "$(dirname "$0")/env.sh"

# With the features of scripts/tests.sh, which has built it already.
exec cargo run --quiet --locked --features "$HEAVY" --example vectors -- "$@"
