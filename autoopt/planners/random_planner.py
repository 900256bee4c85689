"""The baseline: chance. Also the reference of what a planner promises."""

import random
from collections.abc import Iterable, Sequence
from typing import final

from autoopt.files import derived_seed
from autoopt.planners.base import KnownTrial, Planner, PlannerOutcome, Proposal
from autoopt.planners.draw import draw_fresh
from autoopt.planners.upcoming import Upcoming
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space


@final
class RandomPlanner(Planner):
    """Uniform over the space. Each trial's chance is derived from the study's seed and its number."""

    def __init__(self, *, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._upcoming = Upcoming(space)
        self._next_number = 0

    def ask(self) -> Proposal:
        number = self._next_number
        waiting = self._upcoming.peek()
        if waiting is not None:
            proposal = Proposal(number=number, recipe=waiting[0], source=waiting[1])
        else:
            chance = random.Random(derived_seed(self._seed, number))
            recipe = draw_fresh(self._space, chance, self._upcoming.known)
            proposal = Proposal(number=number, recipe=recipe, source="random")
        self._next_number += 1
        self._upcoming.proposed(number, proposal.recipe)
        return proposal

    def reserve(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def tell(self, number: int, outcome: PlannerOutcome) -> None:
        if not 0 <= number < self._next_number:
            raise KeyError(number)
        self._upcoming.ended(number, outcome.state)

    def reconcile(self, trials: Sequence[KnownTrial]) -> None:
        self._upcoming.reset(trials)
        self._next_number = max((t.number for t in trials), default=-1) + 1

    def enqueue(self, recipes: Iterable[Recipe]) -> None:
        self._upcoming.enqueue(recipes)

    def close(self) -> None:
        """Nothing is held."""
