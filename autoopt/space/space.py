"""A space: the dimensions that are searched, in the order they are decided, and the portfolio to start with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from autoopt.space.domains import Dimension, Value
from autoopt.space.recipe import FILLED_IN, Recipe


@dataclass(frozen=True, kw_only=True)
class Space:
    """Dimensions in the order they are decided; a condition refers to earlier ones only."""

    name: str
    dimensions: tuple[Dimension, ...]
    portfolio: tuple[Recipe, ...] = ()
    dropped: tuple[tuple[str, str], ...] = field(default=())
    """(what, why): choices taken out because they do not apply to this task or machine."""

    def walk(self, choose: Callable[[Dimension], Value]) -> Recipe:
        """Decide each active dimension by `choose`, in order."""
        chosen: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.active(chosen):
                chosen[dimension.name] = choose(dimension)
        return Recipe(chosen)

    def keys_of(self, recipe: Recipe) -> dict[str, Value] | None:
        """The recipe by dimension key, as Optuna names it; None when the recipe is not in this space."""
        chosen: dict[str, Value] = {}
        keys: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.active(chosen):
                if dimension.name not in recipe or not dimension.domain.contains(recipe[dimension.name]):
                    return None
                chosen[dimension.name] = keys[dimension.key] = recipe[dimension.name]
        return keys if len(chosen) == len(recipe.keys() - FILLED_IN) else None

    def contains(self, recipe: Recipe) -> bool:
        """Whether the recipe could have been proposed from this space."""
        return self.keys_of(recipe) is not None
