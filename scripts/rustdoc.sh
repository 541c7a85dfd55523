#!/usr/bin/env bash
# rustdoc.sh: the documentation of every item, private ones too, without a warning.
source "$(dirname "$0")/env.sh"

RUSTDOCFLAGS="-D warnings" exec cargo doc --workspace --no-deps --document-private-items --locked --features "$HEAVY"
