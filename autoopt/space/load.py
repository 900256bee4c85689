"""Spaces and recipes from files: `--space` and `--recipe`."""

from pathlib import Path

from autoopt.errors import Problem, SpaceError
from autoopt.files import resource_folder
from autoopt.space.catalogue import Catalogue
from autoopt.space.conditions import clipped, condition_text, same
from autoopt.space.domains import Choice, Dimension, Value
from autoopt.space.parse import parse_space
from autoopt.space.reading import nearest, read_text, read_yaml, shown
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.space.values_in import allowed_text, typed


def space_names() -> tuple[str, ...]:
    """Names of the spaces that ship with autoopt."""
    return tuple(sorted(path.stem for path in resource_folder("search_spaces").glob("*.yaml")))


def load_space(name_or_path: str, catalogue: Catalogue) -> Space:
    """A shipped space by name (`tabular`), or the user's by path (with a / or ending in .yaml). Raises SpaceError."""
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path).expanduser()
        return parse_space(read_text(path, what="The space"), catalogue, source=str(path))
    names = space_names()
    if name_or_path not in names:
        mend = f"{nearest(name_or_path, names)} A file needs a / in its path, or ends in .yaml."
        raise SpaceError(f"There is no space {name_or_path!r}.", mend)
    path = resource_folder("search_spaces") / f"{name_or_path}.yaml"
    return parse_space(read_text(path, what="The space"), catalogue, source=path.name)


def recipe_from_file(path: str | Path, space: Space, catalogue: Catalogue) -> Recipe:
    """A recipe as a bundle holds it: checked against the strategies, not against the space's ranges.

    Dimensions of the space that the file leaves out take their default. Raises SpaceError with every problem found.
    """
    file = Path(path).expanduser()
    raw, problems = read_yaml(read_text(file, what="The recipe"), source=str(file))
    if not isinstance(raw, dict) or not raw:
        raise SpaceError(f"{file} is not a list of 'name: value' lines.", "Use a recipe.yaml from a bundle.")
    given: dict[str, Value] = {}
    for name, written in raw.items():
        declaration = catalogue.declarations.get(name) if isinstance(name, str) else None
        if declaration is None:
            mend = nearest(name, catalogue.declarations)
            problems.append(Problem(what=f"{shown(name)} is no strategy's field.", mend=mend))
            continue
        value = typed(written, declaration.domain)
        if value is None:
            mend = allowed_text(declaration.domain)
            problems.append(Problem(what=f"{name}: {shown(written)} is not possible.", mend=mend))
        else:
            given[name] = value
    if not problems:
        recipe = _filled(given, space, catalogue, problems)
    if problems:
        raise SpaceError([Problem(what=f"{file}: {p.what}", mend=p.mend) for p in problems])
    return recipe


def _filled(given: dict[str, Value], space: Space, catalogue: Catalogue, problems: list[Problem]) -> Recipe:
    def choose(dimension: Dimension) -> Value:
        return given.get(dimension.name, clipped(catalogue.declarations[dimension.name].default, dimension.domain))

    chosen = space.walk(choose).replace(given)
    for declaration in catalogue.declarations.values():
        if declaration.required and declaration.name not in given:
            mend = f"Add it: {declaration.domain}."
            problems.append(Problem(what=f"{declaration.name!r} is missing.", mend=mend))
    for name in given:
        for other, values in catalogue.declarations[name].when:
            if other in chosen and not any(same(chosen[other], v) for v in values):
                what = f"{name} counts only when {condition_text(((other, values),))}; here it is {chosen[other]}."
                problems.append(Problem(what=what, mend="Leave it out."))
    return chosen


def space_of(recipe: Recipe, *, name: str = "recipe") -> Space:
    """The space that holds this one recipe: to run an exported recipe again."""
    dimensions = tuple(Dimension(name=n, domain=Choice(values=(v,))) for n, v in recipe.items())
    return Space(name=name, dimensions=dimensions, portfolio=(recipe,))
