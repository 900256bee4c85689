"""Which trials teach: filled into a recipe that asks for the best ones when its trial begins."""

from collections.abc import Iterable
from typing import final

from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import feasible, quality_order
from autoopt.orchestrator.shared_training import training_of
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.distill import MOST_TEACHERS, TEACHERS, joined
from autoopt.values import Direction


@final
class Teachers:
    """The study's trials that left something to learn from, as they end: the ledger is not read for each proposal."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._trials: dict[int, TrialRow] = {}

    def note(self, trial: TrialRow) -> None:
        """A trial has its result."""
        if trial.artifact_key:
            self._trials[trial.number] = trial

    def named_in(self, recipe: Recipe) -> Recipe:
        """See `with_teachers`."""
        return with_teachers(recipe, self._trials.values(), self._direction)

    def key_of(self, recipe: Recipe) -> str:
        """See `teacher_key`."""
        return teacher_key(recipe, self._trials.values())


def with_teachers(recipe: Recipe, trials: Iterable[TrialRow], direction: Direction) -> Recipe:
    """The recipe with the numbers of the best feasible trials so far as its teachers; without one, undistilled.

    A recipe that names its teachers already keeps them.
    """
    most = MOST_TEACHERS.get(str(recipe.get("distill")), 0)
    if most == 0 or TEACHERS[0] in recipe:
        return recipe
    numbers = [trial.number for trial in trained_apart(trials, direction)[:most]]
    if numbers:
        return recipe.replace(dict(zip(TEACHERS, numbers, strict=False)))
    others = {name: value for name, value in recipe.items() if not name.startswith("distill.")}
    return Recipe({**others, "distill": "none"})


def trained_apart(trials: Iterable[TrialRow], direction: Direction) -> list[TrialRow]:
    """Feasible trials, best first; of those that deploy one training in several ways the best alone.

    Their answers are all but the same: a mean of them would say no more than one.
    """
    found: dict[Recipe, TrialRow] = {}
    for trial in sorted(feasible(trials), key=lambda t: quality_order(t, direction)):
        found.setdefault(training_of(Recipe(trial.recipe)), trial)
    return list(found.values())


def teacher_key(recipe: Recipe, trials: Iterable[TrialRow]) -> str:
    """Key of what the recipe's teachers deployed; '' without a teacher, or where the study has not all of them."""
    numbers = [recipe[name] for name in TEACHERS if name in recipe]
    keys = [t.artifact_key for t in trials if t.number in numbers]
    return joined(keys) if len(keys) == len(numbers) else ""
