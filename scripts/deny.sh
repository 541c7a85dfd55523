#!/usr/bin/env bash
# deny.sh: licences, bans and sources of every dependency; advisories where their database can be reached.
source "$(dirname "$0")/env.sh"

deny="$(scripts/tools.sh cargo-deny 0.20.2)"
"$deny" --all-features --locked check --hide-inclusion-graph licenses bans sources

if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote -q https://github.com/rustsec/advisory-db HEAD >/dev/null 2>&1; then
  "$deny" --all-features --locked check advisories
else
  echo "advisories: skipped, their database cannot be reached from here"
fi
