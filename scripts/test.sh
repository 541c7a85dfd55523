#!/usr/bin/env bash
# test.sh: everything that must hold, cheap things first. `make test` and `.ci/run` run this.
source "$(dirname "$0")/env.sh"
source scripts/stage.sh

ensure openssl openssl
ensure curl curl

stage "rustfmt"               cargo fmt --all --check
stage "clippy"                scripts/clippy.sh
stage "rustdoc"               scripts/rustdoc.sh
stage "cargo-deny"            scripts/deny.sh
stage "shell syntax"          scripts/shell_syntax.sh
stage "attack table"          python3 scripts/attacks.py
stage "denial codes"          python3 scripts/codes.py
stage "ruff"                  scripts/ruff.sh
stage "cargo test"            scripts/tests.sh
stage "store on PostgreSQL"   scripts/postgres.sh scripts/nodes.sh 3
stage "vectors drift"         scripts/vectors.sh --check
stage "release build"         scripts/release.sh
stage "mypy, pyright, stubs"  scripts/types.sh

stage "pytest 3.10 to 3.13"   scripts/pytests.sh 3.10 3.11 3.12 3.13

for framework in langchain openai_agents fastmcp fastapi starlette flask django httpx; do
  stage "framework $framework"  scripts/framework.sh $framework
done

stage "node: types and lint"  scripts/node_lint.sh
for major in 20 22 24; do
  stage "node $major"             scripts/node.sh $major
  stage "node $major, packed"     scripts/node_pack.sh $major
done
stage "node: gateways"        scripts/gateways.sh 20
stage "node: a server of Next" scripts/next.sh 20
stage "nine pairs"            scripts/pairs.sh
stage "README: a service in Node" scripts/readme_gateway.sh
stage "node: frameworks"      scripts/node_frameworks.sh

stage "pkilint"               scripts/pkilint.sh
stage "log oracle"            scripts/log_oracle.sh
stage "archive"               scripts/archive.sh
stage "questionnaires as XLSX" scripts/questionnaire.sh
stage "demo"                  scripts/demo.sh
stage "incident"              scripts/incident.sh
stage "drift"                 scripts/drift.sh
stage "pages of incident and report" scripts/page.sh
stage "OSCAL of reports"      scripts/oscal.sh
stage "VERIFY.md to the letter" scripts/recipe.sh
stage "foreign verifier"      scripts/foreign.sh
stage "client of the hosted service" scripts/hosted.sh
stage "nginx"                 scripts/nginx.sh
stage "action"                scripts/action.sh
stage "four commands"         scripts/four.sh
stage "README: drift, a release, an audit" scripts/readme_drift.sh
