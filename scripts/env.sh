# Sourced by every script: where the tree is, where the cache is, what a fresh machine still lacks.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${KAKUNIN_CACHE:-$HOME/.cache/kakunin}"
export ROOT CACHE
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Features that no default build has, because they weigh more than all the rest.
HEAVY=kakunin-cli/s3,kakunin-cli/pdf,kakunin-cli/xlsx
mkdir -p "$CACHE"
cd "$ROOT"

say() { printf '%s\n' "$*" >&2; }

fail() { say "error: $*"; exit 1; }

# ensure COMMAND PACKAGE: install a Debian package, only if its command is missing
ensure() { command -v "$1" >/dev/null || apt_install "$2"; }

apt_install() {
  local sudo=""
  if [ "$(id -u)" != 0 ]; then sudo="sudo -n"; fi
  command -v apt-get >/dev/null || fail "\`$1\` is needed and there is no apt-get here; install it by hand"
  say "installing $1"
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1"; } >&2 ||
    fail "\`apt-get install $1\` did not work; install it by hand"
}

# pins NAME...: the requirement lines of scripts/pins/NAME.txt
pins() {
  local name
  for name in "$@"; do
    [ -f "$ROOT/scripts/pins/$name.txt" ] || fail "no scripts/pins/$name.txt"
    grep -vE '^\s*(#|$)' "$ROOT/scripts/pins/$name.txt"
  done
}

# crates of the workspace that exist: `has_crate kakunin-py`
has_crate() { [ -f "$ROOT/$1/Cargo.toml" ]; }
