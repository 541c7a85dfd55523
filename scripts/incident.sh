#!/usr/bin/env bash
# incident.sh [DIR]: one incident of three agents of two owners, from nothing to a verified file and its page; then two
# agents in Rust. What a stranger would get is left in DIR, with the page.
source "$(dirname "$0")/env.sh"

export KAKUNIN_CLI="$(scripts/cli.sh)"
rust="$CARGO_TARGET_DIR/release"
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
python3 examples/python/incident/run.py "$@"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat >"$work/scope.toml" <<'SCOPE'
actions = ["payments:send"]

[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "1000.00"

[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
SCOPE
for owner in caller called; do
  "$KAKUNIN_CLI" init --home "$work/$owner" >/dev/null 2>&1
  "$KAKUNIN_CLI" agent create "$owner" --scope "$work/scope.toml" --out "$work/agents/$owner" --home "$work/$owner" >/dev/null
done
"$rust/relay" "$work/agents/caller" "$work/agents/called"
"$rust/kakunin-example-pay" "$work/agents/caller" acme 125.00 | grep -qx "paid 125.00 EUR to acme"
if "$rust/kakunin-example-pay" "$work/agents/caller" initech 125.00 >"$work/out" 2>"$work/denied"; then
  echo "a stranger was paid" >&2
  exit 1
fi
[ ! -s "$work/out" ] && grep -q "scope.counterparty" "$work/denied"
