"""Each shipped space in full: a review sees what a changed default or range does to every recipe.

AUTOOPT_UPDATE_GOLDEN=1 writes the files anew.
"""

import os
from pathlib import Path

import pytest

from autoopt.space import describe, load_space, space_from_json, space_names, space_to_json
from autoopt.strategies import catalogue

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", space_names())
def test_the_space_is_what_was_reviewed(name: str) -> None:
    text = describe(load_space(name, catalogue()))
    golden = HERE / f"{name}.txt"
    if os.environ.get("AUTOOPT_UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "changed on purpose? AUTOOPT_UPDATE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("name", space_names())
def test_a_shipped_space_survives_the_ledger(name: str) -> None:
    space = load_space(name, catalogue())
    assert space_from_json(space_to_json(space)) == space
