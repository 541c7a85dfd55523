#!/usr/bin/env bash
# nodes.sh COUNT: stores and nodes on the server of scripts/postgres.sh; then a node that is killed so often, and that
# server restarted so often, under load.
source "$(dirname "$0")/env.sh"

tests() { scripts/tests.sh --test it -- "$@"; }

many="${1:?how many kills and restarts}"
tests store:: nodes:: guards_of_a_leader
KAKUNIN_TEST_POSTGRES_KILLS="$many" tests killed_on_postgresql --nocapture
KAKUNIN_TEST_POSTGRES_RESTARTS="$many" tests restarts:: --nocapture
