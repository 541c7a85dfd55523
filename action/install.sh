#!/usr/bin/env bash
# install.sh: put the program where gate.sh finds it, if it has the SHA-256 that the workflow names, and nothing else.
# A tag of a download can be moved; what it holds cannot be changed under its digest.
set -euo pipefail

refuse() {
  # What came from inputs is not repeated: a log is read for commands, too.
  printf '::error title=kakunin gate::%s\n' "$1" >&2
  exit "${2:-2}"
}

wanted="${KG_BINARY_SHA256:-}"
[[ "$wanted" =~ ^[0-9a-f]{64}$ ]] || refuse "binary-sha256 has to be 64 lower-case hexadecimal digits" 64
: "${RUNNER_TEMP:?there is no folder for temporary files}"
folder="$RUNNER_TEMP/kakunin-gate-$wanted"
mkdir -p -- "$folder"
fetched="$folder/fetched.$$"
trap 'rm -f -- "$fetched"' EXIT

if [ -n "${KG_BINARY:-}" ]; then
  cp -- "$KG_BINARY" "$fetched" 2>/dev/null || refuse "binary cannot be read"
elif [ -n "${KG_BINARY_URL:-}" ]; then
  case "$KG_BINARY_URL" in
    https://*) ;;
    *) refuse "binary-url has to begin with https://" 64 ;;
  esac
  curl --proto '=https' --proto-redir '=https' --tlsv1.2 --fail --silent --show-error --location \
    --max-time 300 --max-filesize 268435456 --output "$fetched" --url "$KG_BINARY_URL" ||
    refuse "the program could not be fetched"
else
  refuse "give binary or binary-url" 64
fi

found="$(sha256sum <"$fetched" | cut -d' ' -f1)"
[ "$found" = "$wanted" ] || refuse "the program has the SHA-256 $found, which is not binary-sha256; it is not run" 1
chmod 0755 -- "$fetched"
mv -- "$fetched" "$folder/kakunin"
