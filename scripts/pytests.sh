#!/usr/bin/env bash
# pytests.sh VERSION...: the unit tests of kakunin-py under those of these interpreters that are here, two at a time: they
# wait for services and clocks as long as they compute. What each printed comes in one piece; one that fails fails them all.
source "$(dirname "$0")/env.sh"

logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
verdict=0
scripts/pythons.sh "$@" > "$logs/pythons"
xargs -P 2 -L 1 bash -c 'scripts/pytest.sh "$1" "$2" > "$0/$1.log" 2>&1' "$logs" < "$logs/pythons" || verdict=1
for log in "$logs"/*.log; do
  printf -- '-- %s\n' "$(basename "$log" .log)"
  cat "$log"
done
[ "$(ls "$logs"/*.log | wc -l)" = "$(wc -l < "$logs/pythons")" ] || fail "not every interpreter was asked"
exit $verdict
