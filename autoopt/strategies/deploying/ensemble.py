"""Whether what a search found is averaged at its end."""

from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import Stage, Strategy, choice
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot


@final
@dataclass(frozen=True, kw_only=True)
class Ensemble(Strategy):
    """The weighted mean of several trials' predictions, as one graph (Caruana et al. 2004, greedy selection).

    At the end of a search the trials' predictions on valid are averaged: the best one first, then again and again the
    one that makes the mean best, the same one more than once if it does; how often it came is its weight. At most five
    different ones are taken. The mean counts only where it also wins on rows that it was not chosen by: valid is cut
    into halves ten times, members are chosen by one half and judged by the other. Then it is built, measured and held
    to the limits like any trial, and exported where it is the best of them.

    * greedy: trials with this value may be members.
    * none: trials with this value are left out; `--set ensemble=none` does without ensembles.

    Helps most where different kinds of models are about equally good. It is as large and as slow as its members
    together, less the preprocessing that they share.
    """

    name: ClassVar[str] = "ensemble"
    stage: ClassVar[Stage] = "combine"

    how: str = choice("greedy", "none", main=True, help="whether the trial may become a member at the search's end")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        if task.came_trained:
            return "it averages what was trained, and this came so"
        if own is not None and own.untraceable:
            return f"torch.export cannot trace the module, so that there are no graphs to merge: {own.untraceable}"
        return None
