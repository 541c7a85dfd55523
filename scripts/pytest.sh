#!/usr/bin/env bash
# pytest.sh VERSION PYTHON [ARGUMENT...]: the unit tests of kakunin-py under one interpreter.
# 3.12 is the first that warns about fork in a process with threads; there every warning is an error.
source "$(dirname "$0")/env.sh"

version="$1" python="$2"
shift 2
unpacked="$(scripts/python.sh)"
venv="$(scripts/venv.sh pytest "$python" $(pins pytest gunicorn anyio))"
strict=()
if [ "$version" = 3.12 ]; then strict=(-W error); fi

if has_crate kakunin-cli; then export KAKUNIN_CLI="$(scripts/cli.sh)" KAKUNIN_AGED="$(scripts/aged.sh)"; fi
export PYTHONPATH="$unpacked" PYTHONDONTWRITEBYTECODE=1 PATH="$venv/bin:$PATH"
exec python "${strict[@]}" -m pytest -q -p no:cacheprovider --ignore kakunin-py/tests/frameworks \
  --ignore kakunin-py/tests/typing --ignore kakunin-py/tests/foreign kakunin-py/tests "$@"
