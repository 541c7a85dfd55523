#!/usr/bin/env bash
# log_oracle.sh: a log and a witness of other people's making judge ours, and ours theirs. aics-tlog wants Python 3.12.
source "$(dirname "$0")/env.sh"

read -r version python < <(scripts/pythons.sh 3.12 3.13)
case "$version" in
  3.12 | 3.13) ;;
  *) echo "skipped: aics-tlog needs Python 3.12 or 3.13, and neither is here"; exit 0 ;;
esac
cli="$(scripts/cli.sh)"
venv="$(scripts/venv.sh aics-tlog "$python" $(pins aics_tlog))"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
exec "$venv/bin/python" scripts/log_oracle.py "$cli" "$work"
