"""The search space: dimensions, recipes, parsing. Knows no strategy: a catalogue is handed in."""

from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.describe import describe, space_from_json, space_to_json
from autoopt.space.domains import Choice, Condition, Dimension, Domain, Real, Value, Whole
from autoopt.space.extend import extend
from autoopt.space.load import load_space, recipe_from_file, space_names, space_of
from autoopt.space.narrow import Untold, pin, restrict
from autoopt.space.parse import parse_space
from autoopt.space.portfolio import complete
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space

__all__ = [
    "Catalogue",
    "Choice",
    "Condition",
    "Declaration",
    "Dimension",
    "Domain",
    "Real",
    "Recipe",
    "Space",
    "Untold",
    "Value",
    "Whole",
    "complete",
    "describe",
    "extend",
    "load_space",
    "parse_space",
    "pin",
    "recipe_from_file",
    "restrict",
    "space_from_json",
    "space_names",
    "space_of",
    "space_to_json",
]
