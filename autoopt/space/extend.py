"""Adds dimensions that a space file cannot know: those that a user's own module declares."""

from collections.abc import Iterable
from dataclasses import replace

from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.domains import Dimension
from autoopt.space.portfolio import complete
from autoopt.space.space import Space


def extend(space: Space, declarations: Iterable[Declaration], catalogue: Catalogue) -> Space:
    """The space with a dimension for each declaration that it leaves out; its recipes take their defaults there."""
    named = {d.name for d in space.dimensions}
    added = [Dimension(name=d.name, domain=d.domain, when=d.when) for d in declarations if d.name not in named]
    if not added:
        return space
    wider = replace(space, dimensions=(*space.dimensions, *added))
    return replace(wider, portfolio=tuple(complete(wider, recipe, catalogue) for recipe in space.portfolio))
