#!/usr/bin/env bash
# venv.sh NAME PYTHON REQUIREMENT...: print the path of a virtual environment that holds the requirements.
# Environments are cached and keyed by name, interpreter and pins; a changed pin makes a new one.
source "$(dirname "$0")/env.sh"

name="$1" python="$2"
shift 2
python="$(command -v "$python")" || fail "no such interpreter: $python"
key="$({ "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; printf '%s\n' "$@" | LC_ALL=C sort; } | sha256sum | cut -c1-16)"
venv="$CACHE/venvs/$name-$key"

create() {
  rm -rf "$venv"
  "$python" -m venv "$venv" 2>/dev/null && return
  rm -rf "$venv"
  "$python" -m virtualenv -q "$venv" 2>/dev/null && return
  command -v virtualenv >/dev/null && virtualenv -q -p "$python" "$venv" && return
  # Debian ships the module without ensurepip; its own package brings it.
  rm -rf "$venv"
  apt_install python3-venv
  "$python" -m venv "$venv"
}

mkdir -p "$CACHE/venvs"
exec 9>"$venv.lock"
flock 9
if [ ! -e "$venv/.ready" ]; then
  say "making environment $name ($("$python" -V))"
  create >&2
  if [ $# -gt 0 ]; then "$venv/bin/python" -m pip install -q "$@" >&2; fi
  touch "$venv/.ready"
fi
echo "$venv"
