"""What a space is parsed against: the declarations of every strategy, handed in from above."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoopt.space.domains import Condition, Domain, Value


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One field of one strategy: its name in a recipe, the values that are possible at all, and its default.

    `when` holds under which other values the field means anything; a space may narrow it, never widen it.
    """

    name: str
    domain: Domain
    default: Value
    strategy: str
    stage: str
    when: Condition = ()
    summary: str = ""
    required: bool = False  # a space without it is refused: every other choice hangs on it


class Catalogue:
    """Declarations by name, in the order in which a recipe is decided (a condition refers to earlier names only)."""

    def __init__(self, declarations: Iterable[Declaration]) -> None:
        self._declarations: dict[str, Declaration] = {}
        for declaration in declarations:
            if declaration.name in self._declarations:
                raise ValueError(f"two strategies declare {declaration.name!r}")
            self._declarations[declaration.name] = declaration

    @property
    def declarations(self) -> Mapping[str, Declaration]:
        return self._declarations

    def stage_names(self, stage: str) -> tuple[str, ...]:
        """Names of the fields that belong to one stage: its own slots of a recipe."""
        return tuple(d.name for d in self._declarations.values() if d.stage == stage)
