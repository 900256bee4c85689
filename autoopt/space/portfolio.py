"""The recipes to start with: partial in a space file, whole once the strategies' defaults are filled in."""

from collections.abc import Mapping

from autoopt.errors import Problem, SpaceError
from autoopt.space.catalogue import Catalogue
from autoopt.space.conditions import clipped
from autoopt.space.domains import Dimension, Value
from autoopt.space.reading import nearest, shown
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.space.values_in import typed


def complete(space: Space, partial: Mapping[str, object], catalogue: Catalogue) -> Recipe:
    """The recipe of `space` with these values, the rest at its default (clipped into the space).

    Raises SpaceError with every value that the space does not have.
    """
    problems: list[Problem] = []

    def choose(dimension: Dimension) -> Value:
        default = clipped(catalogue.declarations[dimension.name].default, dimension.domain)
        if dimension.name not in partial:
            return default
        raw = partial[dimension.name]
        value = typed(raw, dimension.domain)
        if value is None:
            what = f"{dimension.name}: {shown(raw)} is not in the space."
            problems.append(Problem(what=what, mend=f"Here it takes {dimension.domain}."))
        return default if value is None else value

    recipe = space.walk(choose)
    names = {d.name for d in space.dimensions}
    for name in partial:
        if name not in names:
            problems.append(Problem(what=f"{shown(name)} is no dimension of the space.", mend=nearest(name, names)))
        elif name not in recipe and not problems:
            conditions = " / ".join(str(dict(d.when)) for d in space.dimensions if d.name == name)
            mend = f"It counts only when {conditions}: leave it out."
            problems.append(Problem(what=f"{name} means nothing in this recipe.", mend=mend))
    if problems:
        raise SpaceError(problems)
    return recipe


def parse_portfolio(raw: object, space: Space, catalogue: Catalogue, problems: list[Problem]) -> tuple[Recipe, ...]:
    """Every recipe, completed; what is wrong goes to `problems` with the entry's place."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        problems.append(Problem(what="portfolio: not a list.", mend="Write '- {model: ...}' lines under it."))
        return ()
    found: list[Recipe] = []
    for place, entry in enumerate(raw, start=1):
        where = f"portfolio, recipe {place}: "
        if not isinstance(entry, dict):
            problems.append(Problem(what=f"{where}{shown(entry)} is not a mapping.", mend="Write it '- {model: ...}'."))
            continue
        try:
            recipe = complete(space, entry, catalogue)
        except SpaceError as error:
            problems.extend(Problem(what=where + p.what, mend=p.mend) for p in error.problems)
            continue
        if recipe in found:
            mend = "Change one of them, or leave it out."
            problems.append(Problem(what=f"{where}the same as recipe {found.index(recipe) + 1}.", mend=mend))
        found.append(recipe)
    return tuple(found)
