"""Spaces and recipes from files: `--space` and `--recipe`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoopt.errors import Problem, SpaceError
from autoopt.files import resource_folder, user_path
from autoopt.space.catalogue import Catalogue
from autoopt.space.conditions import clipped, condition_text, same
from autoopt.space.domains import Choice, Dimension, Value
from autoopt.space.ensembles import Member, ensemble_recipe, is_ensemble, members_of
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
        path = user_path(name_or_path)
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
    file = user_path(path)
    raw, problems = read_yaml(read_text(file, what="The recipe"), source=str(file))
    if not isinstance(raw, dict) or not raw:
        raise SpaceError(f"{file} is not a list of 'name: value' lines.", "Use a recipe.yaml from a bundle.")
    checked = _ensemble if is_ensemble(raw) else _checked
    recipe = checked(raw, space, catalogue, problems)
    if recipe is None or problems:
        raise SpaceError([Problem(what=f"{file}: {p.what}", mend=p.mend) for p in problems])
    return recipe


def _checked(raw: Mapping[Any, Any], space: Space, catalogue: Catalogue, problems: list[Problem]) -> Recipe | None:
    """The recipe of these fields; None where one of them is none, or impossible, which is then among the problems."""
    given: dict[str, Value] = {}
    before = len(problems)
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
    return _filled(given, space, catalogue, problems) if len(problems) == before else None


def _ensemble(raw: Mapping[Any, Any], space: Space, catalogue: Catalogue, problems: list[Problem]) -> Recipe | None:
    """The same for an ensemble's recipe, whose members are recipes. Nothing is filled in: they say all there is."""
    if not all(isinstance(n, str) and isinstance(v, str | int | float | bool) for n, v in raw.items()):
        problems.append(Problem(what="It is not a list of 'name: value' lines.", mend="Use a bundle's recipe.yaml."))
        return None
    bare = replace(space, dimensions=(), portfolio=())
    members: list[Member] = []
    try:
        for member in members_of(raw):
            own: list[Problem] = []
            recipe = _checked(member.recipe, bare, catalogue, own)
            told = f"of trial {member.trial}, a member"
            problems.extend(Problem(what=f"{told}: {p.what}", mend=p.mend) for p in own)
            if recipe is not None:
                members.append(replace(member, recipe=recipe))
    except SpaceError as error:
        problems.extend(error.problems)
    return None if problems else ensemble_recipe(members, quantize=str(raw.get("quantize", "none")))


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
