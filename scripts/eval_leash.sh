#!/usr/bin/env bash
# eval_leash.sh: AgentDojo's cases through the real decorator and real certificates.
source "$(dirname "$0")/env.sh"

[ -f eval/agentdojo_leash.py ] || fail "absent: eval/agentdojo_leash.py"
export KAKUNIN_CLI="$(scripts/cli.sh)"
venv="$(scripts/venv.sh agentdojo python3 $(pins agentdojo))"
export PYTHONPATH="$(scripts/python.sh)" PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" eval/agentdojo_leash.py "$@"
