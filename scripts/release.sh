#!/usr/bin/env bash
# release.sh: the one release build of everything that is tested as its users have it: the command line, the
# extensions of Python and Node and the examples, in one call of cargo, which compiles what they share once.
source "$(dirname "$0")/env.sh"

cargo build --release --locked -p kakunin-cli -p kakunin-py -p kakunin-node -p kakunin-example-pay >&2
