#!/usr/bin/env bash
# shell_syntax.sh: every script parses.
source "$(dirname "$0")/env.sh"

for script in scripts/*.sh action/*.sh .ci/run; do bash -n "$script"; done
