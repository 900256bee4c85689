"""The baseline: chance. Also the reference of what a planner promises."""

import random
from collections.abc import Iterable, Sequence
from typing import final

from autoopt.files import derived_seed
from autoopt.planners.base import Climb, KnownTrial, Planner, PlannerOutcome, Proposal, Source
from autoopt.planners.upcoming import Upcoming
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space


@final
class RandomPlanner(Planner):
    """Uniform over the space. Each trial's chance is derived from the study's seed and its number."""

    def __init__(self, *, space: Space, seed: int, climb: Climb | None = None) -> None:
        self._seed = seed
        self._upcoming = Upcoming(space, climb)
        self._next_number = 0

    def ask(self) -> Proposal | None:
        number = self._next_number
        chosen = self._upcoming.peek() or self._by_chance(number)
        if chosen is None:
            return None
        self._next_number += 1
        self._upcoming.proposed(number, chosen[0])
        return Proposal(number=number, recipe=chosen[0], source=chosen[1])

    def _by_chance(self, number: int) -> tuple[Recipe, Source] | None:
        chance = random.Random(derived_seed(self._seed, number))
        recipe = self._upcoming.drawn(chance) if self._upcoming.may_sample else None
        return None if recipe is None else (recipe, "random")

    def reserve(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def tell(self, number: int, outcome: PlannerOutcome) -> None:
        if not 0 <= number < self._next_number:
            raise KeyError(number)
        self._upcoming.ended(number, outcome)

    def reconcile(self, trials: Sequence[KnownTrial]) -> None:
        self._upcoming.reset(trials)
        self._next_number = max((t.number for t in trials), default=-1) + 1

    def enqueue(self, recipes: Iterable[Recipe]) -> None:
        self._upcoming.enqueue(recipes)

    def close(self) -> None:
        """Nothing is held."""
