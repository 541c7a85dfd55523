#!/usr/bin/env bash
# cli.sh: build the command line in release mode and print its path.
source "$(dirname "$0")/env.sh"

scripts/release.sh
echo "$CARGO_TARGET_DIR/release/kakunin"
