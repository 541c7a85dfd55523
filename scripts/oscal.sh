#!/usr/bin/env bash
# oscal.sh: OSCAL of every framework, over evidence with allowances, denials and a gap, held against the models of others.
source "$(dirname "$0")/env.sh"

cli="$(scripts/cli.sh)"
venv="$(scripts/venv.sh oscal python3 $(pins oscal))"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

printf 'actions = ["payments:send"]\n[[limit]]\nfor = ["payments:send"]\ncurrency = "EUR"\nper_action = "10.00"\n' >"$work/scope.toml"
"$cli" init --home "$work/home" >/dev/null 2>&1
"$cli" agent create asked --scope "$work/scope.toml" --out "$work/asked" --home "$work/home" >/dev/null
for amount in 5.00 50.00; do
  "$cli" check --agent "$work/asked" --action payments:send --amount $amount --currency EUR --journal "$work/trail" >/dev/null || [ $? = 1 ]
done
for name in ai-rmf-1.0 csf-2.0 dora eu-ai-act iso-27001-2022 iso-42001-2023 mica owasp-agentic-2026 soc2 sp800-53-r5; do
  for form in json oscal; do
    "$cli" report --framework $name --journal "$work/trail" --root "$work/home/public/ca.pem" --format $form \
      --out "$work/$name.${form/oscal/results.json}" >/dev/null || [ $? = 3 ]
  done
  "$cli" report --framework $name --format oscal-component --out "$work/$name.component.json" >/dev/null
done

exec "$venv/bin/python" scripts/oscal.py "$work"
