#!/usr/bin/env bash
# cli_whole.sh: the path of the command line with every feature: the debug build of scripts/tests.sh, since a release build
# would optimise the whole SDK of S3 once more.
source "$(dirname "$0")/env.sh"

scripts/tests.sh --no-run >&2
echo "$CARGO_TARGET_DIR/debug/kakunin"
