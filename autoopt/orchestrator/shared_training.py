"""Which recipes share a training, so that no two slots train the same model at once.

A recipe that only deploys otherwise (int8, a mirror image) waits until the training it shares is in the store.
"""

from collections.abc import Collection
from functools import cache
from typing import Final

from autoopt.space.recipe import Recipe
from autoopt.strategies import catalogue

MOST_WAITING: Final = 16
"""Proposals that are put off for a training that runs; with more, slots would stand idle for want of another one."""


@cache
def _later_names() -> frozenset[str]:
    """Names that change nothing before the training has ended."""
    return frozenset((*catalogue().stage_names("shrink"), *catalogue().stage_names("deploy")))


def training_of(recipe: Recipe) -> Recipe:
    """The part of a recipe that its training hangs on."""
    later = _later_names()
    return Recipe({name: value for name, value in recipe.items() if name not in later})


def must_wait(recipe: Recipe, running: Collection[Recipe]) -> bool:
    """Whether one of the recipes at work shares its training."""
    wanted = training_of(recipe)
    return any(training_of(other) == wanted for other in running)
