#!/usr/bin/env bash
# gate.sh: the inputs of the action as arguments of `kakunin gate`. Every value is one argument behind its flag, so it
# is no flag, no second argument and no command, whatever it holds.
set -euo pipefail

: "${RUNNER_TEMP:?there is no folder for temporary files}"
: "${GITHUB_OUTPUT:?there is no file for outputs}"

# The answer until there is another, also for whoever reads outputs and not exit codes.
{
  printf 'decision=cannot-evaluate\n'
  printf 'risk-score=\nlevel=\nreceipt=\nreport=\n'
  printf 'cert-revoked=false\nagent-suspended=false\n'
} >>"$GITHUB_OUTPUT"

usage() {
  printf '::error title=kakunin gate::%s\n' "$1" >&2
  exit 64
}

[[ "${KG_BINARY_SHA256:-}" =~ ^[0-9a-f]{64}$ ]] || usage "binary-sha256 has to be 64 lower-case hexadecimal digits"
program="$RUNNER_TEMP/kakunin-gate-$KG_BINARY_SHA256/kakunin"
# The folder is the job's: what another step put there is not run.
found="$(sha256sum <"$program" | cut -d' ' -f1)" || usage "the program is not there"
[ "$found" = "$KG_BINARY_SHA256" ] || usage "the program was changed since it was checked"

arguments=(gate --github)

# one FLAG VALUE: if there is a value
one() { if [ -n "$2" ]; then arguments+=("$1=$2"); fi; }

# each FLAG VALUES: for every line that is not empty
each() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    line="${line%$'\r'}"
    one "$1" "$line"
  done <<<"$2"
}

# switch FLAG VALUE: true, false or nothing, and no word that only looks like one of them
switch() {
  case "$2" in
    true) arguments+=("$1") ;;
    false | "") ;;
    *) usage "${1#--} is true or false" ;;
  esac
}

# identity AUDIENCE: a token of this job for whoever is called so. The runner says where it is had, and by which right,
# which goes to curl by a pipe and into no list of processes.
identity() {
  local right="${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" place="${ACTIONS_ID_TOKEN_REQUEST_URL:-}" answer
  local part='[A-Za-z0-9_-]+'
  if [ -z "$place" ] || ! [[ "$right" =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
    usage "there is no token of this job to be had: give the job the permission id-token: write"
  fi
  answer="$(printf 'header = "Authorization: bearer %s"\n' "$right" |
    curl --config - --fail --silent --show-error --max-time 60 --retry 2 --get \
      --data-urlencode "audience=$1" --url "$place")" || usage "the runner gave no token of this job"
  [[ "$answer" =~ \"value\"[[:space:]]*:[[:space:]]*\"($part\.$part\.$part)\" ]] ||
    usage "the runner gave no token of this job"
  printf '%s' "${BASH_REMATCH[1]}"
}

# The runner does not see to `required: true`. What an authority can show need not be a file.
required=(ROOT POLICY)
if [ -z "${KG_URL:-}" ]; then required+=(CERTIFICATE CRL RECEIPTS); fi
for name in "${required[@]}"; do
  variable="KG_$name"
  [ -n "${!variable:-}" ] || usage "the input $(printf '%s' "$name" | tr '[:upper:]' '[:lower:]') is required"
done

one --certificate "${KG_CERTIFICATE:-}"
one --agent "${KG_AGENT:-}"
each --untrusted "${KG_UNTRUSTED:-}"
each --root "$KG_ROOT"
each --crl "${KG_CRL:-}"
each --names "${KG_NAMES:-}"
one --receipts "${KG_RECEIPTS:-}"
each --journal "${KG_JOURNAL:-}"
each --log-key "${KG_LOG_KEY:-}"
each --witness-policy "${KG_WITNESS_POLICY:-}"
each --log "${KG_LOG:-}"
one --policy "$KG_POLICY"
one --risk-policy "${KG_RISK_POLICY:-}"
one --baseline "${KG_BASELINE:-}"
one --fail-on "${KG_FAIL_ON:-}"
one --max-age "${KG_MAX_AGE:-}"
one --min-calls "${KG_MIN_CALLS:-}"
one --promoted "${KG_PROMOTED:-}"
one --as "${KG_AS:-}"
one --as-crl "${KG_AS_CRL:-}"
one --sarif "${KG_SARIF:-}"
one --report "${KG_REPORT:-$RUNNER_TEMP/kakunin-gate.json}"
switch --suspend-on-fail "${KG_SUSPEND_ON_FAIL:-}"
switch --revoke-on-fail "${KG_REVOKE_ON_FAIL:-}"
one --url "${KG_URL:-}"
if [ -n "${KG_OIDC_AUDIENCE:-}" ]; then
  [ -z "${KAKUNIN_TOKEN:-}" ] || usage "token and oidc-audience are two ways to one thing: give one of them"
  [ -n "${KG_URL:-}" ] || usage "oidc-audience is for the authority at url, and there is none"
  KAKUNIN_TOKEN="$(identity "$KG_OIDC_AUDIENCE")"
  printf '::add-mask::%s\n' "$KAKUNIN_TOKEN"
  export KAKUNIN_TOKEN
fi
# Nobody but this script asks for tokens of this job.
unset ACTIONS_ID_TOKEN_REQUEST_URL ACTIONS_ID_TOKEN_REQUEST_TOKEN
if [ -z "${KAKUNIN_TOKEN:-}" ]; then unset KAKUNIN_TOKEN; fi

exec "$program" "${arguments[@]}"
