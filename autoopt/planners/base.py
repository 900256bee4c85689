"""What a planner promises, whichever way it finds recipes.

Promises, checked by tests/contracts/test_planner.py for every planner:
* a proposed recipe is in the space; numbers rise, and none is given twice;
* the space's portfolio is proposed first, in its order, each recipe once in a study's life;
* with a `Climb`, a form that only mends a loss of quality waits for the plainer one, and is never proposed where that
  lost none; where nothing is left to propose, `ask` gives None;
* `reserve` gives a number as `ask` does; the trial under it is told, and teaches the planner nothing;
* recipes that have a result are proposed again only when 20 draws in a row gave nothing new;
* `tell` takes every outcome, also with values that are not finite, and a second time;
* `reconcile` makes the planner's own records follow the ledger's, whatever was lost; doing it twice is doing it once;
* a resumed planner with the same seed does not repeat what it proposed before.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from autoopt.space.recipe import Recipe
from autoopt.values import QUALITY, QUALITY_DROP, Limit, TrialState

Source = Literal["portfolio", "queued", "sampler", "random"]
"""Where a recipe came from: the space's portfolio, `enqueue`, the model of past results, or chance."""
_QUALITIES = (QUALITY, QUALITY_DROP)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe to try, under the trial's number."""

    number: int
    recipe: Recipe
    source: Source


@dataclass(frozen=True, kw_only=True)
class PlannerOutcome:
    """How a trial ended. `values` in the order of the objectives; a constraint above zero is a broken limit.

    A duplicate carries the values of the trial that it repeats. RUNNING (for `reconcile`): no result yet.
    """

    state: TrialState
    values: tuple[float, ...] | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)

    @property
    def keeps_quality(self) -> bool:
        """Whether it was measured and breaks no limit on quality; False where there is no such limit."""
        found = {text: excess for text, excess in self.constraints.items() if Limit.parse(text).measure in _QUALITIES}
        return bool(found) and all(excess <= 0 for excess in found.values())


@dataclass(frozen=True, kw_only=True)
class KnownTrial:
    """A trial as the ledger has it."""

    number: int
    recipe: Recipe
    outcome: PlannerOutcome


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How the forms of a model that came trained are gone through: finer ones only where a plainer one lost too much.

    `usual_alone`: when those of the portfolio are through, nothing else is proposed.
    """

    usual_alone: bool = False


class Planner(ABC):
    """Proposes recipes and learns from outcomes. One thread at a time. On a study that has trials, reconcile first."""

    @abstractmethod
    def ask(self) -> Proposal | None:
        """The next recipe; None (with a Climb) where there is none before another result comes.

        Raises LedgerUnavailable when the planner's records cannot be written.
        """

    @abstractmethod
    def reserve(self) -> int:
        """A number for a trial that is not the planner's own, such as an ensemble. Raises LedgerUnavailable."""

    @abstractmethod
    def tell(self, number: int, outcome: PlannerOutcome) -> None:
        """Learn how a proposed trial ended. Raises KeyError for a number that was never proposed."""

    @abstractmethod
    def reconcile(self, trials: Sequence[KnownTrial]) -> None:
        """Take the ledger's trials (all of them) for the truth."""

    @abstractmethod
    def enqueue(self, recipes: Iterable[Recipe]) -> None:
        """Propose these next, before the rest of the portfolio; one that waits or runs already is left out.

        Raises SpaceError for a recipe that is not in the space.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what the planner holds open. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
