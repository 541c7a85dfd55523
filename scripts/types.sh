#!/usr/bin/env bash
# types.sh: mypy and pyright over the package and its typed uses, stubs compared with the built module.
source "$(dirname "$0")/env.sh"

ensure node nodejs
ensure npm npm # pyright's package fetches its own release through npm
unpacked="$(scripts/python.sh)"
venv="$(scripts/venv.sh types python3 $(pins types pytest))"
export PYTHONPATH="$unpacked" MYPYPATH="$unpacked" PYRIGHT_PYTHON_IGNORE_WARNINGS=1

uses=()
if [ -d kakunin-py/tests/typing ]; then uses+=(kakunin-py/tests/typing); fi

# The built package is checked, not the source beside it: that is what a user has.
"$venv/bin/python" -m mypy --strict --cache-dir "$CARGO_TARGET_DIR/mypy" -p kakunin
if [ ${#uses[@]} -gt 0 ]; then
  "$venv/bin/python" -m mypy --strict --cache-dir "$CARGO_TARGET_DIR/mypy" "${uses[@]}"
  "$venv/bin/pyright" --pythonpath "$venv/bin/python" --warnings "${uses[@]}"
fi

cd "$unpacked"
for stub in $(find kakunin -name '*.pyi'); do
  module="${stub%.pyi}"
  module="${module%/__init__}"
  "$venv/bin/python" -m mypy.stubtest "${module//\//.}"
done
