#!/usr/bin/env bash
# wheel.sh [NAME OPTION...]: build the abi3 wheel of kakunin-py and unpack it; print the folder to put on PYTHONPATH.
# With a NAME the wheel is built with these options of maturin and kept apart from the one that is shipped.
# One abi3 wheel serves every interpreter, so it is unpacked once per checkout and never installed into a
# cached environment, which other checkouts share. Nothing is built when no source has changed.
source "$(dirname "$0")/env.sh"

wheels="$CARGO_TARGET_DIR/wheels${1:+-$1}"
unpacked="$CARGO_TARGET_DIR/python${1:+-$1}"
shift $(($# > 0))
stamp="$wheels/.sources"

sources() {
  local crates=(kakunin-core kakunin-authority kakunin-py)
  if has_crate kakunin-macros; then crates+=(kakunin-macros); fi
  find "${crates[@]}" Cargo.toml Cargo.lock -type f \
    -not -path '*/tests/*' -not -path '*/benches/*' -not -path '*/__pycache__/*' -not -path '*/.*_cache/*' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

mkdir -p "$wheels"
exec 9>"$wheels/.lock"
flock 9
now="$(sources)"
if [ ! -d "$unpacked/kakunin" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]; then
  venv="$(scripts/venv.sh maturin python3 $(pins maturin))"
  rm -f "$wheels"/kakunin_py-*.whl
  "$venv/bin/maturin" build --release --locked --manifest-path kakunin-py/Cargo.toml --out "$wheels" "$@" >&2
  rm -rf "$unpacked"
  python3 -m zipfile -e "$wheels"/kakunin_py-*.whl "$unpacked" >&2
  echo "$now" >"$stamp"
fi
echo "$unpacked"
