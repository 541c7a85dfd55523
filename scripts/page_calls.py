"""page_calls.py AGENT STATE COUNT ACTION...: an agent makes COUNT calls, each of one of these actions.

Which one is drawn by a seed, as often as it is named. It goes on when it is denied. Calls are some
milliseconds apart, so that a drawing of them has a width.
"""

import sys
import time
from contextlib import suppress
from random import Random

import kakunin
from kakunin import Agent, ScopeDenied, verify_agent_scope


def main(directory: str, state: str, count: int, actions: list[str]) -> None:
    agent = Agent.from_dir(directory, state=state)
    calls = {name: verify_agent_scope(name)(lambda: None) for name in actions}
    kakunin.use(agent)
    for name in Random(count).choices(actions, k=count):
        with suppress(ScopeDenied):
            calls[name]()
        time.sleep(0.004)
    agent.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
