#!/usr/bin/env bash
# pairs.sh: an agent in Python, in Node and in Rust, in front of a gateway in Python, in Node and in Rust: all nine pairs. Each agent
# pays, and is let in; pays more than its certificate allows, or to somebody else, and is not; and what they wrote is verified together
# by the command line. The agents' certificates refer to a list of a hundred parties, which no gateway has: each request proves its own. KAKUNIN_NODE_DEBUG=1 takes debug builds, but for Python.
source "$(dirname "$0")/env.sh"

ensure curl curl
cli="${KAKUNIN_CLI:-$(scripts/cli.sh)}"
python="$(scripts/venv.sh fastapi python3 $(pins pytest fastapi))/bin/python"
packages="${KAKUNIN_PYTHON:-$(scripts/python.sh)}"
node="$(scripts/nodejs.sh 20)"
frameworks="$(scripts/npm.sh gateways)/node_modules"
package="$(scripts/node_package.sh)"
if [ "${KAKUNIN_NODE_DEBUG:-}" = 1 ]; then
  cargo build --locked -p kakunin-example-pay >&2
  rust="$CARGO_TARGET_DIR/debug"
else
  scripts/release.sh
  rust="$CARGO_TARGET_DIR/release"
fi

work="$(mktemp -d)"
running=()
end() {
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${running[@]}"; do wait "$pid" 2>/dev/null || true; done
  running=()
}
trap 'end; rm -rf "$work"' EXIT

# Modules are found beside what imports them, so the examples stand where the packages are.
mkdir -p "$work/node/node_modules"
cp examples/node/gateway/*.mjs "$work/node/"
ln -s "$frameworks"/* "$work/node/node_modules/"
ln -s "$package" "$work/node/node_modules/kakunin-node"

cat >"$work/scope.toml" <<'SCOPE'
actions = ["payments:ask", "payments:send"]

[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "1000.00"

[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
SCOPE
"$cli" init --home "$work/home" >/dev/null 2>&1
{ seq -f 'vendor-%04g' 99; echo acme; } >"$work/vendors.txt"
sed 's/^allow = .*/allow_file = "vendors.txt"/' "$work/scope.toml" >"$work/buyer.toml"
for name in shop-{python,node,rust} buyer-{python,node,rust}; do
  scope="$work/buyer.toml"
  if [[ $name = shop-* ]]; then scope="$work/scope.toml"; fi
  "$cli" agent create "$name" --scope "$scope" --out "$work/$name" --home "$work/home" >/dev/null
done
export PYTHONDONTWRITEBYTECODE=1 NODE_OPTIONS=--no-warnings

# run LANGUAGE PROGRAM ARGUMENT..: an example, in place of this shell
run() {
  local language="$1" program="$2"
  shift 2
  case "$language" in
    python) PYTHONPATH="$packages" exec "$python" "examples/python/gateway/$program.py" "$@" ;;
    node) exec "$node" "$work/node/$program.mjs" "$@" ;;
    rust) exec "$rust/$program" "$@" ;;
  esac
}

for language in python node rust; do
  (run "$language" shop "$work/shop-$language") >"$work/$language.out" 2>"$work/$language.err" &
  running+=($!)
done
declare -A url
for language in python node rust; do
  for _ in $(seq 600); do
    [ ! -s "$work/$language.out" ] || break
    sleep 0.1
  done
  url[$language]="$(head -n 1 "$work/$language.out")"
  [ -n "${url[$language]}" ] || fail "the gateway in $language is not ready: $(cat "$work/$language.err")"
done

payments=(12.50 acme 1000.01 acme 1.00 mallory)
wanted=$'200 paid\n403 scope.amount\n403 scope.counterparty'
for gateway in python node rust; do
  status="$(curl -s -o "$work/answer" -w '%{http_code}' -X POST -H 'content-type: application/json' -d '{"amount":"1.00","iban":"acme"}' "${url[$gateway]}/pay")"
  [ "$status" = 401 ] || fail "without a proof the gateway in $gateway says $status: $(cat "$work/answer")"
  for agent in python node rust; do
    heard="$(run $agent buyer "${url[$gateway]}" "$work/buyer-$agent" "${payments[@]}")" || fail "$agent -> $gateway: the agent failed"
    [ "$heard" = "$wanted" ] || fail "$agent -> $gateway: heard"$'\n'"$heard"
    say "$agent -> $gateway: let in within the leash, and refused beyond it"
  done
done
end

# All six journals together. Each decision of a gateway is decided again by the certificate of the agent that asked, and follows from
# that agent's own decision where it had one; the agent in Python has none. The list of parties is here. Nobody else has seen the ends, so 3.
journals=()
for name in shop-{node,rust} buyer-{node,rust}; do journals+=(--journal "$work/$name"); done
"$cli" verify "$work/shop-python" "${journals[@]}" --root "$work/home/public/ca.pem" --replay --names "$work/buyer-rust/names" --timeline --json >"$work/verified.json" ||
  [ $? = 3 ] || fail "what was written does not verify: $(cat "$work/verified.json")"
python3 - "$work/verified.json" <<'CHECK'
import json
import sys

told = json.load(open(sys.argv[1]))
counts, events = told["counts"], told["timeline"]
asked = {event["receipt"] for event in events if event["what"] == "allow payments:ask"}
answered = [event for event in events if event["what"].split()[1:2] == ["payments:send"]]
assert told["verdict"] == "AUTHENTIC-NOT-COMPLETE", told["verdict"]
# uvicorn ends by the signal that stops it, and with it the process that would have closed its stream.
assert {reason["code"] for reason in told["reasons"]} <= {"tail.not_witnessed", "stream.open"}, told["reasons"]
assert (counts["allowed"], counts["denied"], counts["outcomes"]) == (27, 18, 27), counts
assert (told["replay"]["same"], told["replay"]["open"]) == (45, 0), told["replay"]
assert (len(asked), len(answered)) == (18, 27), (len(asked), len(answered))
assert sorted(parent for event in answered for parent in event["parents"]) == sorted(asked)
CHECK
say "nine pairs, and what they wrote"
