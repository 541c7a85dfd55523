#!/usr/bin/env bash
# lint.sh: the part of test.sh that runs nothing of ours.
source "$(dirname "$0")/env.sh"
source scripts/stage.sh

stage "rustfmt"               cargo fmt --all --check
stage "clippy"                scripts/clippy.sh
stage "rustdoc"               scripts/rustdoc.sh
stage "cargo-deny"            scripts/deny.sh
stage "ruff"                  scripts/ruff.sh
