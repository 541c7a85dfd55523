#!/usr/bin/env bash
# page.sh [DIR]: draw the page of the incident and pages of reports, one with the risk over time, and look at them in a
# browser: wide and narrow, light and dark, printed, with and without scripts, with a network that would answer. The pictures are left in DIR.
source "$(dirname "$0")/env.sh"

PLAYWRIGHT=1.65.1
ensure chromium chromium
ensure node nodejs
ensure npm npm
playwright="$CACHE/node/playwright-core-$PLAYWRIGHT"
if [ ! -d "$playwright/node_modules/playwright-core" ]; then
  npm install --silent --no-fund --no-audit --prefix "$playwright" "playwright-core@$PLAYWRIGHT" >&2
fi
cli="$(scripts/cli.sh)"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
scripts/incident.sh "$work/incident" >&2
known=(--root "$work/incident/shop.pem" --root "$work/incident/bank.pem" --witness-policy "$work/incident/policy.txt")
while read -r key; do known+=(--log-key "$key"); done < <(python3 -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$work/incident/keys.json")
"$cli" verify "$work/incident/incident.zip" "${known[@]}" --json >"$work/verified.json"

# What strangers may ask for: names that are markup, and names that turn text around.
cat >"$work/scope.toml" <<'SCOPE'
actions = ["payments:send"]

[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
SCOPE
"$cli" init --home "$work/home" >/dev/null 2>&1
"$cli" agent create asked --scope "$work/scope.toml" --out "$work/asked" --home "$work/home" >/dev/null
for name in '<script>document.title="script"</script>' '"><img src=x onerror=document.title=1>' $'\u202egnp.exe' '</style><svg onload=document.title=1>'; do
  "$cli" check --agent "$work/asked" --action payments:send --counterparty "$name" --journal "$work/trail" >/dev/null || [ $? = 1 ]
done
"$cli" verify "$work/trail" --root "$work/home/public/ca.pem" --timeline --html "$work/hostile.html" --json >"$work/hostile.json" || [ $? = 3 ]

# The same evidence held against a framework.
for form in html json; do
  "$cli" report --framework csf-2.0 --bundle "$work/incident/incident.zip" "${known[@]}" --format $form --out "$work/report.$form" >/dev/null || [ $? = 3 ]
done
"$cli" report --framework owasp-agentic-2026 --journal "$work/trail" --root "$work/home/public/ca.pem" --format html \
  --out "$work/hostile-report.html" >/dev/null || [ $? = 3 ]

# An agent that did one thing for a while, and then what it never did and what it may not: risk over time, and who crossed.
printf 'actions = ["orders:read", "mail:send", "refunds:send"]\n' >"$work/shop.toml"
"$cli" agent create drifts --scope "$work/shop.toml" --out "$work/drifts" --home "$work/home" >/dev/null
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
usual=(orders:read orders:read orders:read orders:read orders:read mail:send mail:send)
python3 scripts/page_calls.py "$work/drifts" "$work/drift" 300 "${usual[@]}" "${usual[@]}" "${usual[@]}" refunds:send
"$cli" risk baseline "$work/drift" --root "$work/home/public/ca.pem" --out "$work/baseline.json" >/dev/null
python3 scripts/page_calls.py "$work/drifts" "$work/drift" 150 "${usual[@]}" mail:send refunds:send payments:wire
for form in html json; do
  "$cli" report --framework csf-2.0 --journal "$work/drift" --root "$work/home/public/ca.pem" --baseline "$work/baseline.json" \
    --format $form --out "$work/drift.$form" >/dev/null || [ $? = 3 ]
done
"$cli" risk replay "$work/drift" --baseline "$work/baseline.json" --root "$work/home/public/ca.pem" --json >"$work/replay.json" || [ $? = 1 ]

node scripts/page.mjs "$playwright/node_modules/playwright-core" "$(command -v chromium)" "$work" "${1:-$work/pictures}"
node scripts/report.mjs "$playwright/node_modules/playwright-core" "$(command -v chromium)" "$work" "${1:-$work/pictures}"
