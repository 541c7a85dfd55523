#!/usr/bin/env bash
# questionnaire.sh: workbooks of questions that two libraries of others wrote, filled by `kakunin report`, and read again by
# one of them.
source "$(dirname "$0")/env.sh"

cli="${KAKUNIN_CLI_WHOLE:-$(scripts/cli_whole.sh)}"
venv="$(scripts/venv.sh questionnaire python3 $(pins questionnaire))"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

printf 'actions = ["payments:send"]\n[[limit]]\nfor = ["payments:send"]\ncurrency = "EUR"\nper_action = "10.00"\n' >"$work/scope.toml"
"$cli" init --home "$work/home" >/dev/null 2>&1
"$cli" agent create asked --scope "$work/scope.toml" --out "$work/asked" --home "$work/home" >/dev/null
for amount in 5.00 50.00; do
  "$cli" check --agent "$work/asked" --action payments:send --amount $amount --currency EUR --journal "$work/trail" >/dev/null || [ $? = 1 ]
done
exec "$venv/bin/python" scripts/questionnaire.py "$cli" "$work"
