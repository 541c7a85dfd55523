#!/usr/bin/env bash
# vectors.sh [--check]: write the shared test vectors from their seed, or fail if the stored ones differ.
source "$(dirname "$0")/env.sh"

exec cargo run --quiet --locked -p kakunin-core --example vectors -- "$@"
