"""Rungs: shares of a training at which it is compared with the others that came as far, and may be ended.

Optuna prunes studies of one objective only, so the rule is ours: a training ends where too many of the others that
reached the same rung beat it on every objective that is known by then. For one objective and more than half of them
that is the median rule (Golovin et al. 2017, "Google Vizier"); for several objectives it never ends what is best at
something, a small network among large ones. Shares and not epochs are compared, because most schedules bring their
gain at the end of their own plan.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

from autoopt.executors import Progress
from autoopt.ledger import RungRow
from autoopt.orchestrator.attempts import VALID
from autoopt.orchestrator.shared_training import training_of
from autoopt.space.recipe import Recipe
from autoopt.stages.keys import TRAIN
from autoopt.values import QUALITY, Objective


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A share of a training's planned epochs, and who ends there."""

    share: float
    least_others: int  # fewer that came as far say nothing
    beaten_by: float  # share of the others; beaten by more of them, a training ends


RUNGS: Final = (
    # Rates still rise there and images may be small yet: it takes more to tell that a training is a bad one.
    Rung(share=1 / 9, least_others=8, beaten_by=0.75),
    Rung(share=1 / 3, least_others=3, beaten_by=0.5),
)

Losses = Mapping[str, float]
"""What is known of a trial at a rung: objective's measure → value turned so that less is better."""


class RungWriter(Protocol):
    """The one thing that rungs need of the ledger."""

    def record_rung(self, rung: RungRow) -> None: ...


def beats(one: Losses, other: Losses) -> bool:
    """Whether `one` is better on every objective that is known of both; never by what is not known."""
    common = one.keys() & other.keys()
    return bool(common) and all(one[name] < other[name] for name in common)


def judged_step(event: Progress) -> int | None:
    """The step of a training that an event judges on valid; None for a sign of life, and for fine-tuning.

    Fine-tuning starts from what a training came to: at a rung, it would beat every training that has just begun.
    """
    return event.step if event.stage == TRAIN and VALID in event.values else None


@final
class Rungs:
    """What the trainings of a study reached at each rung; each new mark goes to the ledger, for later sessions.

    Marks are kept by training and not by trial: one that was stopped and goes on from its checkpoint, or one that two
    trials deploy in two ways, must not be compared with itself.
    """

    def __init__(self, objectives: tuple[Objective, ...], writer: RungWriter) -> None:
        self._signs = {o.measure: -1.0 if o.direction == "maximize" else 1.0 for o in objectives}
        self._writer = writer
        self._reached: dict[float, dict[Recipe, Losses]] = {rung.share: {} for rung in RUNGS}
        self._judged: set[tuple[int, float]] = set()

    def reload(self, marks: Iterable[RungRow], recipes: Mapping[int, Recipe]) -> None:
        """Take over what the ledger holds of earlier sessions; `recipes` are those of its trials, by number."""
        for mark in marks:
            if mark.share in self._reached:
                training = training_of(recipes[mark.number])
                self._reached[mark.share].setdefault(training, self._losses(mark.known))

    def verdict(self, number: int, recipe: Recipe, *, step: int, steps: int, known: Mapping[str, float]) -> str:
        """Why trial `number` should end at `step` of `steps`; '' when it should go on.

        `known` are its measures so far, the quality on valid among them. A trial is judged once at each rung, and a
        training counts once for the others, with what it had when it first got there.
        """
        if QUALITY not in self._signs or not math.isfinite(known.get(QUALITY, math.nan)):
            return ""
        told, training = "", training_of(recipe)
        had = {name: value for name, value in known.items() if name in self._signs and math.isfinite(value)}
        for rung in RUNGS:
            share, reached = rung.share, self._reached[rung.share]
            if step < share * steps or step >= steps or (number, share) in self._judged:
                continue
            self._judged.add((number, share))
            others, losses = [found for other, found in reached.items() if other != training], self._losses(had)
            if training not in reached:
                self._writer.record_rung(RungRow(number=number, share=share, known=had))
                reached[training] = losses
            better = sum(beats(other, losses) for other in others)
            if len(others) >= rung.least_others and better > rung.beaten_by * len(others):
                told = f"{better} of the {len(others)} others that came to step {step} of {steps} were better by then"
        return told

    def _losses(self, known: Mapping[str, float]) -> Losses:
        return {name: self._signs[name] * value for name, value in known.items() if name in self._signs}
