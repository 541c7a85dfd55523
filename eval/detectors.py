"""The detectors that the engine is held beside."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from river import drift

from sequences import Call


class Others:
    """The detectors beside it, each as a stream of alarms."""

    def __init__(self, baseline: list[Call]) -> None:
        self._steps: dict[str, Counter[str]] = defaultdict(Counter)
        self._mix = Counter(call["action"] for call in baseline)
        for before, action in pairs(baseline):
            self._steps[before][action] += 1

    NAMES = ("river ADWIN", "river Page-Hinkley", "river KSWIN", "hosted mix term >= 0.6", "its kinder form")

    def alarms(self, stream: list[Call], name: str) -> Iterator[bool]:
        if name in self.NAMES[3:]:
            yield from self._hosted(stream, 4 if name == self.NAMES[3] else 2)
            return
        make = {
            "river ADWIN": lambda: drift.ADWIN(delta=0.002),
            "river Page-Hinkley": drift.PageHinkley,
            "river KSWIN": lambda: drift.KSWIN(alpha=0.0001, seed=1),
        }[name]
        detector = make()
        for before, action in pairs(stream):
            after = self._steps[before]
            share = (after[action] + 0.5) / (after.total() + 0.5 * (len(self._mix) + 1))
            detector.update(-math.log(share))
            yield detector.drift_detected
            if detector.drift_detected:
                detector = make()

    def _hosted(self, stream: list[Call], full: float) -> Iterator[bool]:
        """Its distance between the mix of a window and that of the baseline; `full` is what counts as 1."""
        whole = self._mix.total()
        usual = {action: times / whole for action, times in self._mix.items()}
        window: list[str] = []
        was = False
        for call in stream:
            window = [*window[-99:], call["action"]]
            now = {action: times / len(window) for action, times in Counter(window).items()}
            both = usual.keys() | now.keys()
            distance = sum(
                (usual.get(it, 0) - now.get(it, 0)) ** 2 / (usual.get(it, 0) + now.get(it, 0)) for it in both
            )
            alarm = len(window) == 100 and min(distance / full, 1) >= 0.6
            yield alarm and not was
            was = alarm


def pairs(stream: list[Call]) -> Iterator[tuple[str, str]]:
    before, session = "", None
    for call in stream:
        yield ("" if call["session"] != session else before), call["action"]
        before, session = call["action"], call["session"]
