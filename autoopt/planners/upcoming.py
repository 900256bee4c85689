"""What is to be proposed before a sampler is asked, and which recipes are known already."""

from collections.abc import Iterable, Sequence
from typing import Literal

from autoopt.errors import SpaceError
from autoopt.planners.base import KnownTrial
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.values import TrialState


class Upcoming:
    """The queue and the portfolio of one study, less what the ledger has seen.

    Nothing of it is stored: the portfolio is the space's and what was proposed is the ledger's, so that a crash at any
    moment neither loses a recipe nor proposes it twice.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._queued: list[Recipe] = []
        self._proposed: set[Recipe] = set()
        self._running: dict[int, Recipe] = {}
        self._ended: set[Recipe] = set()

    @property
    def known(self) -> set[Recipe]:
        """Recipes that have a result or are being tried. A stopped trial's is not: it is to be tried again."""
        return self._ended | set(self._running.values())

    def reset(self, trials: Sequence[KnownTrial]) -> None:
        """Start from the ledger's trials; what was enqueued stays."""
        self._proposed = {t.recipe.asked for t in trials}
        self._running = {t.number: t.recipe for t in trials if t.outcome.state is TrialState.RUNNING}
        unsettled = (TrialState.RUNNING, TrialState.STOPPED)
        self._ended = {t.recipe for t in trials if t.outcome.state not in unsettled}

    def enqueue(self, recipes: Iterable[Recipe]) -> None:
        """See Planner.enqueue."""
        for recipe in recipes:
            if not self._space.contains(recipe):
                shown = ", ".join(f"{name}={value}" for name, value in recipe.items())
                raise SpaceError(f"The recipe {shown} is not in the space {self._space.name!r}.", "Widen the space.")
            if recipe not in self._queued and recipe not in self._running.values():
                self._queued.append(recipe)

    def peek(self) -> tuple[Recipe, Literal["portfolio", "queued"]] | None:
        """The recipe to propose next; None when the sampler's turn has come."""
        if self._queued:
            return self._queued[0], "queued"
        for recipe in self._space.portfolio:
            if recipe not in self._proposed:
                return recipe, "portfolio"
        return None

    def proposed(self, number: int, recipe: Recipe) -> None:
        """The recipe is now being tried."""
        self._proposed.add(recipe)
        self._running[number] = recipe
        if recipe in self._queued:
            self._queued.remove(recipe)

    def ended(self, number: int, state: TrialState) -> None:
        """The trial of that number is over."""
        recipe = self._running.pop(number, None)
        if recipe is not None and state is not TrialState.STOPPED:
            self._ended.add(recipe)
