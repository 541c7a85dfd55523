#!/usr/bin/env bash
# tests.sh ARG...: `cargo test` of the workspace. S3, PDF and XLSX are in it, so that what one stage builds every later one finds:
# with other features, or of a crate by its name, cargo builds half of them again.
source "$(dirname "$0")/env.sh"

# Services, guards and browsers are waited for more than computed with: four at a time keep two cores busy.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"
exec cargo test --workspace --locked --features "$HEAVY" "$@"
