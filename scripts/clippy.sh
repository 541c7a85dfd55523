#!/usr/bin/env bash
# clippy.sh: no warning, with the features that no default build has. `scripts/release.sh` builds what is shipped without
# them, and a warning there fails its stage, too.
source "$(dirname "$0")/env.sh"

exec cargo clippy --workspace --all-targets --locked --features "$HEAVY" -- -D warnings
