"""What holds for every space that can be written: parsing, drawing, completing and the ledger's JSON agree."""

import random

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support_space import small_catalogue, small_space

from autoopt.errors import Problem, SpaceError
from autoopt.planners.draw import draw
from autoopt.space import Recipe, Space, complete, parse_space, pin, space_from_json, space_to_json

CATALOGUE = small_catalogue()
NUMBERS = st.integers(-5, 2000) | st.floats(allow_nan=True) | st.booleans()
WORDS = st.sampled_from(["forest", "net", "line", "median", "mean", "none", "int8", "sgd", "adam", "x", ""])
SCALARS = NUMBERS | WORDS | st.none()
NAMES = st.sampled_from([*CATALOGUE.declarations, "unknown"])
RANGES = st.fixed_dictionaries(
    {"low": SCALARS, "high": SCALARS}, optional={"log": SCALARS, "when": st.dictionaries(NAMES, WORDS, max_size=2)}
)
CHOICES = st.fixed_dictionaries(
    {"choices": st.lists(SCALARS, max_size=3)}, optional={"when": st.dictionaries(NAMES, WORDS, max_size=2)}
)
DOMAINS = SCALARS | st.lists(SCALARS, max_size=4) | RANGES | CHOICES | st.lists(CHOICES, max_size=3)
FILES = st.fixed_dictionaries(
    {
        "dimensions": st.dictionaries(NAMES, DOMAINS, max_size=6).map(
            lambda d: {"model": ["forest", "net", "line"], **d}
        )
    },
    optional={"portfolio": st.lists(st.dictionaries(NAMES, SCALARS, max_size=3), max_size=2)},
)


def parsed(text: str) -> tuple[Space | None, tuple[Problem, ...]]:
    try:
        return parse_space(text, CATALOGUE, source="f.yaml"), ()
    except SpaceError as error:
        return None, error.problems


@given(FILES, st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_any_file_is_a_sound_space_or_a_message(raw: dict[str, object], seed: int) -> None:
    space, problems = parsed(yaml.safe_dump(raw, sort_keys=False))
    assert all(p.what.startswith("f.yaml") and p.mend for p in problems)
    if space is None:
        assert problems
        return
    assert space_from_json(space_to_json(space)) == space
    chance = random.Random(seed)
    for recipe in [*space.portfolio, complete(space, {}, CATALOGUE), *(draw(space, chance) for _ in range(5))]:
        assert space.contains(recipe)
        for name, value in recipe.items():
            assert CATALOGUE.declarations[name].domain.contains(value)
            assert all(recipe[n] in vs for n, vs in CATALOGUE.declarations[name].when)


@given(st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_a_drawn_recipe_can_be_completed_written_and_pinned(seed: int) -> None:
    space = small_space()
    recipe = draw(space, random.Random(seed))
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert complete(space, recipe, CATALOGUE) == recipe
    pinned = pin(space, {name: str(value) for name, value in recipe.items()}, CATALOGUE)
    assert draw(pinned, random.Random(seed + 1)) == recipe, "nothing is left to choose"
