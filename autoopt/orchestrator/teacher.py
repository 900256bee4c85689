"""Which trial teaches: filled into a recipe that asks for the best one when its trial begins."""

from collections.abc import Sequence

from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import best
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.distill import BEST, TEACHER
from autoopt.values import Direction


def with_teacher(recipe: Recipe, trials: Sequence[TrialRow], direction: Direction) -> Recipe:
    """The recipe with the number of the best feasible trial so far as its teacher; without one, undistilled.

    A recipe that names its teacher already keeps it.
    """
    if recipe.get("distill") != BEST or TEACHER in recipe:
        return recipe
    teacher = best(trials, direction)
    if teacher is not None:
        return recipe.replace({TEACHER: teacher.number})
    others = {name: value for name, value in recipe.items() if not name.startswith("distill.")}
    return Recipe({**others, "distill": "none"})


def teacher_key(recipe: Recipe, trials: Sequence[TrialRow]) -> str:
    """Key of what the recipe's teacher deployed; '' without a teacher, or where the study has no such trial."""
    number = recipe.get(TEACHER)
    return next((t.artifact_key for t in trials if t.number == number), "")
