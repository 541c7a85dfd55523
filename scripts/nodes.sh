#!/usr/bin/env bash
# nodes.sh RESTARTS: stores and nodes on the server of scripts/postgres.sh, then that server restarted under load.
source "$(dirname "$0")/env.sh"

tests() { cargo test -p kakunin-authority -p kakunin-cli --locked --test it -- "$@"; }

tests store:: nodes::
KAKUNIN_TEST_POSTGRES_RESTARTS="${1:?how many restarts}" tests restarts:: --nocapture
