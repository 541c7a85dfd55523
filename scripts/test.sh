#!/usr/bin/env bash
# test.sh: everything that must hold, cheap things first. `make test` and `.ci/run` run this.
source "$(dirname "$0")/env.sh"
source scripts/stage.sh

ensure openssl openssl

stage "rustfmt"              Cargo.toml          cargo fmt --all --check
stage "clippy"               Cargo.toml          cargo clippy --workspace --all-targets --locked -- -D warnings
stage "rustdoc"              Cargo.toml          scripts/rustdoc.sh
stage "cargo-deny"           deny.toml           scripts/deny.sh
stage "shell syntax"         scripts             scripts/shell_syntax.sh
stage "attack table"         docs/attacks.md     python3 scripts/attacks.py
stage "denial codes"         docs/wire.md        python3 scripts/codes.py
stage "ruff"                 ruff.toml           scripts/ruff.sh
stage "cargo test"           Cargo.toml          cargo test --workspace --locked
stage "vectors drift"        kakunin-core/examples/vectors.rs  scripts/vectors.sh --check
stage "command line"         kakunin-cli         scripts/cli.sh
stage "wheel"                kakunin-py          scripts/wheel.sh
stage "mypy, pyright, stubs" kakunin-py          scripts/types.sh

while read -r version python; do
  stage "pytest $version"    kakunin-py/tests    scripts/pytest.sh "$version" "$python"
done < <(scripts/pythons.sh 3.10 3.11 3.12 3.13)

for framework in langchain openai_agents fastmcp fastapi flask; do
  stage "framework $framework" kakunin-py/tests/frameworks/$framework  scripts/framework.sh $framework
done

stage "pkilint"              kakunin-cli         scripts/pkilint.sh
stage "demo"                 examples/python/demo.py  scripts/demo.sh
