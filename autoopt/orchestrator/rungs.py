"""Rungs: shares of a training at which it is compared with the others that came as far, and may be ended.

Optuna prunes studies of one objective only, so the rule is ours: a training ends where more than half of the others
that reached the same rung beat it on every objective that is known by then. For one objective that is the median rule
(Golovin et al. 2017, "Google Vizier"); for several it never ends what is best at something, a small network among
large ones. Shares and not epochs are compared, because most schedules bring their gain at the end of their own plan.
"""

from collections.abc import Mapping
from typing import Final, final

from autoopt.values import QUALITY, Objective

RUNG_SHARES: Final = (1 / 9, 1 / 3)
"""Of a training's planned epochs."""
LEAST_OTHERS: Final = 3
"""Fewer that came as far say nothing."""

Losses = Mapping[str, float]
"""What is known of a trial at a rung: objective's measure → value turned so that less is better."""


def beats(one: Losses, other: Losses) -> bool:
    """Whether `one` is better on every objective that is known of both; never by what is not known."""
    common = one.keys() & other.keys()
    return bool(common) and all(one[name] < other[name] for name in common)


@final
class Rungs:
    """What the trials of a session reached at each rung."""

    def __init__(self, objectives: tuple[Objective, ...]) -> None:
        self._signs = {o.measure: -1.0 if o.direction == "maximize" else 1.0 for o in objectives}
        self._reached: dict[float, dict[int, Losses]] = {share: {} for share in RUNG_SHARES}

    def verdict(self, number: int, *, step: int, steps: int, known: Mapping[str, float]) -> str:
        """Why trial `number` should end at `step` of `steps`; '' when it should go on.

        `known` are its measures so far, the quality on valid among them. A trial counts once at each rung, with what
        it had when it got there.
        """
        if QUALITY not in known or QUALITY not in self._signs:
            return ""
        losses = {name: self._signs[name] * value for name, value in known.items() if name in self._signs}
        told = ""
        for share, reached in self._reached.items():
            if step < share * steps or step >= steps or number in reached:
                continue
            others = list(reached.values())
            reached[number] = losses
            better = sum(beats(other, losses) for other in others)
            if len(others) >= LEAST_OTHERS and 2 * better > len(others):
                told = f"{better} of the {len(others)} others that came to step {step} of {steps} were better by then"
        return told
