"""Recipes by chance: uniform over a space, branch by branch."""

import math
import random
from collections.abc import Container

from autoopt.space.domains import Choice, Dimension, Value, Whole
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space

FRESH_DRAWS = 20
"""Draws after which a space counts as used up for now, and something known is proposed again."""
LAST_DRAWS = 500
"""Draws after which it counts as used up for good."""


def draw_value(dimension: Dimension, chance: random.Random) -> Value:
    """A value of the dimension's domain; by order of magnitude where the domain is logarithmic."""
    domain = dimension.domain
    if isinstance(domain, Choice):
        return chance.choice(domain.values)
    if isinstance(domain, Whole):
        if not domain.log:
            return chance.randint(domain.low, domain.high)
        # Half a step beyond both ends, so that the first and the last number get their share.
        drawn = math.exp(chance.uniform(math.log(domain.low - 0.5), math.log(domain.high + 0.5)))
        return min(max(round(drawn), domain.low), domain.high)
    if domain.log:
        return min(max(math.exp(chance.uniform(math.log(domain.low), math.log(domain.high))), domain.low), domain.high)
    return chance.uniform(domain.low, domain.high)


def draw(space: Space, chance: random.Random) -> Recipe:
    """A recipe of the space."""
    return space.walk(lambda dimension: draw_value(dimension, chance))


def draw_fresh(space: Space, chance: random.Random, known: Container[Recipe], *, draws: int = FRESH_DRAWS) -> Recipe:
    """A recipe that is not known, or the last of so many draws when all were."""
    for _ in range(draws):
        recipe = draw(space, chance)
        if recipe not in known:
            break
    return recipe
