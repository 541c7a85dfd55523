#!/usr/bin/env bash
# pythons.sh [VERSION...]: print "VERSION PATH" of every interpreter present among the versions asked for,
# from the PATH or from pyenv; if there is none of them, python3 alone.
source "$(dirname "$0")/env.sh"

find_python() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    # A pyenv shim exists for versions that are not active; only one that runs counts.
    if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

found=0
for version in "${@:-3.10}"; do
  if path="$(find_python "$version")"; then
    echo "$version $path"
    found=1
  fi
done
if [ $found = 0 ]; then
  echo "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') $(command -v python3)"
fi
