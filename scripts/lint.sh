#!/usr/bin/env bash
# lint.sh: the part of test.sh that runs nothing of ours.
source "$(dirname "$0")/env.sh"
source scripts/stage.sh

stage "rustfmt"    Cargo.toml cargo fmt --all --check
stage "clippy"     Cargo.toml cargo clippy --workspace --all-targets --locked -- -D warnings
stage "rustdoc"    Cargo.toml scripts/rustdoc.sh
stage "cargo-deny" deny.toml  scripts/deny.sh
stage "ruff"       ruff.toml  scripts/ruff.sh
