#!/usr/bin/env bash
# action.sh: the composite action: its scripts with hostile inputs, its metadata and its example by linters of others, and
# the examples as they are written, for GitHub, GitLab and a shell, with the real program, agent, bundle and authority.
source "$(dirname "$0")/env.sh"

ensure shellcheck shellcheck
shellcheck action/*.sh
venv="$(scripts/venv.sh action python3 $(pins pytest action))"
"$venv/bin/zizmor" --quiet --offline --strict-collection action/action.yml action/example.yml
tools="$(scripts/npm.sh action)/node_modules"
node scripts/action_lint.mjs "$tools" action/example.yml
export KAKUNIN_CLI="${KAKUNIN_CLI:-$(scripts/cli.sh)}" PYTHONDONTWRITEBYTECODE=1
export KAKUNIN_PACKAGE="${KAKUNIN_PACKAGE:-$(scripts/python.sh)}"
unset PYTHONPATH
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider --confcutdir action/tests action/tests "$@"
