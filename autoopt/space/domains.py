"""Domains: which values a dimension may take."""

import math
from dataclasses import dataclass

Value = str | int | float | bool
"""A recipe's value. Strings name choices; numbers carry the unit that the strategy's card gives."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few named values."""

    values: tuple[Value, ...]

    def contains(self, value: Value) -> bool:
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in self.values)

    def within(self, other: "Domain") -> bool:
        return all(other.contains(v) for v in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(str(v) for v in self.values)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Whole numbers low..high, both included; `log` searches by order of magnitude."""

    low: int
    high: int
    log: bool = False

    def contains(self, value: Value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def within(self, other: "Domain") -> bool:
        return other.contains(self.low) and other.contains(self.high)

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, kw_only=True)
class Real:
    """Numbers low..high, both included; `log` searches by order of magnitude."""

    low: float
    high: float
    log: bool = False

    def contains(self, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    def within(self, other: "Domain") -> bool:
        return other.contains(self.low) and other.contains(self.high)

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


Domain = Choice | Whole | Real
Condition = tuple[tuple[str, tuple[Value, ...]], ...]
"""Names of other dimensions, each with the values under which this one is active; all must hold."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One searched choice. Several dimensions may share a name under conditions that exclude each other.

    `key` tells those apart and is the parameter's name in Optuna: the name itself for the first, then `name#2`.
    """

    name: str
    domain: Domain
    when: Condition = ()
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)

    def active(self, chosen: "dict[str, Value]") -> bool:
        """Whether the condition holds among the values chosen so far."""
        return all(name in chosen and chosen[name] in values for name, values in self.when)
