"""A recipe: one value for every strategy that applies."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from autoopt.errors import SpaceError
from autoopt.space.domains import Value

FILLED_IN: Final = frozenset({"distill.teacher", "distill.teacher_2", "distill.teacher_3"})
"""Names that no space holds: the search fills them in when a trial begins, so that its recipe says all."""


class Recipe(Mapping[str, Value]):
    """Frozen, hashable, ordered by name. Round-trips through YAML and JSON.

    Names are dotted: `model`, `lightgbm.num_leaves`, `optimizer.learning_rate`.
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values: dict[str, Value] = dict(sorted(values.items()))
        text = json.dumps(self._values, sort_keys=True, allow_nan=False)
        self._hash = hashlib.sha256(text.encode()).hexdigest()

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return int(self._hash[:15], 16)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._hash == other._hash

    def __repr__(self) -> str:
        return f"Recipe({self._values!r})"

    @property
    def sha256(self) -> str:
        """Hash of the content: equal recipes, equal hash, on every machine."""
        return self._hash

    @property
    def asked(self) -> "Recipe":
        """Without what the search filled in: as it was proposed."""
        return Recipe({name: value for name, value in self._values.items() if name not in FILLED_IN})

    def replace(self, changes: Mapping[str, Value]) -> "Recipe":
        """A copy with some values changed or added."""
        return Recipe({**self._values, **changes})

    def section(self, name: str) -> dict[str, Value]:
        """The fields under a prefix: `section('lightgbm')` → {'num_leaves': 31, ...}."""
        prefix = name + "."
        return {k[len(prefix) :]: v for k, v in self._values.items() if k.startswith(prefix)}

    def to_json(self) -> dict[str, Value]:
        return dict(self._values)

    def to_yaml(self) -> str:
        """One `name: value` line each, in the order of names."""
        return yaml.safe_dump(self._values, sort_keys=True, allow_unicode=True, default_flow_style=False)

    @classmethod
    def from_yaml(cls, text: str) -> "Recipe":
        """Read what `to_yaml` wrote. Raises SpaceError when it is not a flat mapping of names to values."""
        try:
            raw: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            line = str(error).splitlines()[0]
            raise SpaceError(f"The recipe is not YAML: {line}.", "Use a recipe.yaml from a bundle.") from error
        flat = isinstance(raw, dict) and bool(raw)
        if not flat or not all(isinstance(k, str) and isinstance(v, str | int | float | bool) for k, v in raw.items()):
            raise SpaceError("The recipe is not a list of 'name: value' lines.", "Use a recipe.yaml from a bundle.")
        if any(isinstance(v, float) and not (v - v == 0.0) for v in raw.values()):
            raise SpaceError("The recipe holds a number that is not finite.", "Use a recipe.yaml from a bundle.")
        return cls(raw)
