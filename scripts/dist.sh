#!/usr/bin/env bash
# dist.sh: the wheels that are published, built against an old glibc, then the README's path run with them.
source "$(dirname "$0")/env.sh"

venv="$(scripts/venv.sh dist python3 $(pins dist))"
rm -rf dist
export PATH="$venv/bin:$PATH"
# What is published names no folder of the machine that built it.
export RUSTFLAGS="--remap-path-prefix=$ROOT=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
for crate in kakunin-py kakunin-cli; do
  maturin build --release --locked --zig --compatibility manylinux_2_28 --manifest-path $crate/Cargo.toml --out dist
done
ls -l dist
exec scripts/five_minutes.sh
