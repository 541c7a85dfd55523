#!/usr/bin/env bash
# tests.sh ARG...: `cargo test` of the workspace. S3, PDF and XLSX are in it, so that what one stage builds every later one finds:
# with other features, or of a crate by its name, cargo builds half of them again.
source "$(dirname "$0")/env.sh"

exec cargo test --workspace --locked --features "$HEAVY" "$@"
