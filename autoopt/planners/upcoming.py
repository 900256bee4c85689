"""What is to be proposed before a sampler is asked, and which recipes are known already."""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from autoopt.errors import SpaceError
from autoopt.planners.base import Climb, KnownTrial, PlannerOutcome
from autoopt.planners.draw import LAST_DRAWS, draw_fresh
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.strategies.deploying.mending import only_mends
from autoopt.values import TrialState


class Upcoming:
    """The queue and the portfolio of one study, less what the ledger has seen.

    Nothing of it is stored: the portfolio is the space's and what was proposed is the ledger's, so that a crash at any
    moment neither loses a recipe nor proposes it twice.
    """

    def __init__(self, space: Space, climb: Climb | None = None) -> None:
        self._space = space
        self._climb = climb
        self._queued: list[Recipe] = []
        self._proposed: set[Recipe] = set()
        self._running: dict[int, Recipe] = {}
        self._ended: dict[Recipe, PlannerOutcome] = {}

    def __contains__(self, recipe: object) -> bool:
        """Whether a recipe has a result, is being tried or is of no use. A stopped trial's is to be tried again."""
        if recipe in self._ended or recipe in self._running.values():
            return True
        return isinstance(recipe, Recipe) and self._is_needless(recipe)

    def reset(self, trials: Sequence[KnownTrial]) -> None:
        """Start from the ledger's trials; what was enqueued stays."""
        self._proposed = {t.recipe.asked for t in trials}
        self._running = {t.number: t.recipe for t in trials if t.outcome.state is TrialState.RUNNING}
        unsettled = (TrialState.RUNNING, TrialState.STOPPED)
        self._ended = {t.recipe: t.outcome for t in trials if t.outcome.state not in unsettled}

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
        return next(((recipe, "portfolio") for recipe in self._left() if not self._waits(recipe)), None)

    @property
    def may_sample(self) -> bool:
        """Whether, with nothing to peek at, anything else is to be proposed now."""
        return self._climb is None or not (self._climb.usual_alone or any(map(self._waits, self._left())))

    def drawn(self, chance: random.Random) -> Recipe | None:
        """A recipe by chance, a new one if draws find one; where forms are climbed, None if they do not."""
        if self._climb is None:
            return draw_fresh(self._space, chance, self)
        recipe = draw_fresh(self._space, chance, self, draws=LAST_DRAWS)
        return recipe if recipe not in self else None

    def _left(self) -> list[Recipe]:
        """What of the portfolio is still of use."""
        return [r for r in self._space.portfolio if r not in self._proposed and not self._is_needless(r)]

    def _is_needless(self, recipe: Recipe) -> bool:
        """Whether it could only mend a loss that there is not."""
        if self._climb is None:
            return False
        return any(outcome.keeps_quality and only_mends(recipe, other) for other, outcome in self._ended.items())

    def _waits(self, recipe: Recipe) -> bool:
        """Whether it is not known yet if there is a loss to mend: the plainer form is being tried."""
        if self._climb is None or any(only_mends(recipe, other) for other in self._ended):
            return False
        return any(only_mends(recipe, other) for other in self._running.values())

    def proposed(self, number: int, recipe: Recipe) -> None:
        """The recipe is now being tried."""
        self._proposed.add(recipe)
        self._running[number] = recipe
        if recipe in self._queued:
            self._queued.remove(recipe)

    def ended(self, number: int, outcome: PlannerOutcome) -> None:
        """The trial of that number is over."""
        recipe = self._running.pop(number, None)
        if recipe is not None and outcome.state is not TrialState.STOPPED:
            self._ended[recipe] = outcome
