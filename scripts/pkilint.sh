#!/usr/bin/env bash
# pkilint.sh: a linter that others wrote looks at every certificate and list the authority makes.
source "$(dirname "$0")/env.sh"

ensure openssl openssl
cli="$(scripts/cli.sh)"
venv="$(scripts/venv.sh pkilint python3 $(pins pkilint))"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

home="$work/home"
printf 'actions = ["payments:send"]\n[[limit]]\nfor = ["payments:send"]\ncurrency = "EUR"\nper_action = "10.00"\n' >"$work/scope.toml"
quietly() { "$@" >/dev/null </dev/null; }
quietly "$cli" init --home "$home"
for name in good held revoked; do
  quietly "$cli" agent create $name --scope "$work/scope.toml" --out "$work/agents/$name" --home "$home"
done
quietly "$cli" suspend held --reason "lint" --home "$home"
quietly "$cli" revoke revoked --reason "lint" --home "$home"
quietly "$cli" crl --home "$home" --out "$work/lists.pem"

exec "$venv/bin/python" scripts/pkilint.py scripts/pkilint-exceptions.txt "$work/lists.pem" \
  "$work"/agents/*/{agent,chain,ca}.pem
