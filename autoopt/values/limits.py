"""Limits (`latency_ms<=1`), objectives and the budget of a study."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from autoopt.errors import OptionError, Problem
from autoopt.values.measures import LATENCY_MS, MEASURE_UNITS, QUALITY, QUALITY_DROP, SIZE_BYTES, Measurement
from autoopt.values.quantities import format_bytes, parse_measure_value

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What must hold for a trial to be feasible: `measure <= bound` or `measure >= bound`."""

    measure: str
    sense: Literal["<=", ">="]
    bound: float

    def excess(self, value: float) -> float:
        """How far beyond the bound, in the measure's unit; zero or less when the limit holds."""
        return value - self.bound if self.sense == "<=" else self.bound - value

    def relative_excess(self, value: float) -> float:
        """`excess` as a share of the bound, to compare misses of different units."""
        return self.excess(value) / max(abs(self.bound), 1e-12)

    def __str__(self) -> str:
        return f"{self.measure}{self.sense}{self.bound:.12g}"

    @property
    def bound_text(self) -> str:
        """As people read it: `5 kB`, `0.5%`, `2`."""
        return self._text(self.bound, digits=12)

    def told(self) -> str:
        """`size_bytes<=5 kB`."""
        return f"{self.measure}{self.sense}{self.bound_text}"

    def miss_text(self, value: float) -> str:
        """A value that breaks it: `78.9 kB`; exact where it would read like the bound."""
        found = self._text(value, digits=4)
        return found if found != self.bound_text else f"{value:.12g}"

    def _text(self, value: float, *, digits: int) -> str:
        unit = MEASURE_UNITS[self.measure]
        return format_bytes(value) if unit == "bytes" else f"{value:.{digits}g}{'%' if unit == '%' else ''}"

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read `latency_ms<=1`, `size_bytes<=5MB`, `quality>=0.9`, `quality_drop<=0.5%`. Raises OptionError."""
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(.+?)\s*", text)
        allowed = ", ".join(MEASURE_UNITS)
        example = "Write it like 'latency_ms<=1' or 'size_bytes<=5MB' (in quotes: the shell reads < itself)."
        if match is None:
            raise OptionError(f"--limit {text!r} is not MEASURE<=VALUE or MEASURE>=VALUE.", example)
        measure, sense, bound_text = match.groups()
        if measure not in MEASURE_UNITS:
            raise OptionError(f"--limit {text!r} names no measure.", f"Measures: {allowed}.")
        bound = parse_measure_value(MEASURE_UNITS[measure], bound_text)
        if bound is None or bound != bound or bound in (float("inf"), float("-inf")):
            unit = MEASURE_UNITS[measure] or "the metric's own unit"
            raise OptionError(f"--limit {text!r}: {bound_text!r} is no value of {measure} ({unit}).", example)
        if measure == QUALITY_DROP and bound < 0:
            raise OptionError(f"--limit {text!r} asks for a twin that is better than the float model.", example)
        if measure not in (QUALITY, QUALITY_DROP) and bound <= 0:
            raise OptionError(f"--limit {text!r} can never hold: {measure} is above zero.", example)
        if measure != QUALITY and sense.startswith(">"):
            raise OptionError(f"--limit {text!r} asks for more {measure}.", f"Use {measure}<=VALUE.")
        return cls(measure=measure, sense="<=" if sense.startswith("<") else ">=", bound=bound)


def parse_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Every limit, or one OptionError with all that is wrong."""
    limits: list[Limit] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            limits.append(Limit.parse(text))
        except OptionError as error:
            problems.extend(error.problems)
    if problems:
        raise OptionError(problems)
    return tuple(limits)


def broken(limits: Sequence[Limit], measures: Mapping[str, Measurement]) -> tuple[Limit, ...]:
    """The limits that do not hold; a measure that is missing, or is no number, counts as broken."""
    return tuple(x for x in limits if x.measure not in measures or not x.excess(measures[x.measure].value) <= 0)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is optimized, and which way."""

    measure: str
    direction: Direction


DEFAULT_OBJECTIVES = (QUALITY, LATENCY_MS, SIZE_BYTES)


def parse_objectives(names: Sequence[str], quality_direction: Direction) -> tuple[Objective, ...]:
    """Objectives by name; quality goes the metric's way, everything else is minimized. Raises OptionError."""
    text = f"--objectives {','.join(names)!r}"
    unknown = list(dict.fromkeys(n for n in names if n not in MEASURE_UNITS))
    twice = list(dict.fromkeys(n for n in names if names.count(n) > 1))
    if not any(names):
        raise OptionError(f"{text} names no measure.", f"Measures: {', '.join(MEASURE_UNITS)}.")
    if unknown:
        raise OptionError(
            f"{text}: {', '.join(map(repr, unknown))} is no measure.", f"Measures: {', '.join(MEASURE_UNITS)}."
        )
    if twice:
        raise OptionError(f"{text} names {', '.join(twice)} more than once.", "Name each measure once.")
    return tuple(Objective(measure=n, direction=quality_direction if n == QUALITY else "minimize") for n in names)


N = TypeVar("N", int, float)


def _extended(bound: N | None, more: N | None, used: N, *, other: float | None) -> N | None:
    if more is not None:
        return max(bound or used, used) + more
    return None if bound is not None and used >= bound and other is not None else bound


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a study may use: wall seconds, counted trials, or both; None is no bound."""

    seconds: float | None = None
    trials: int | None = None

    def extended(self, more: "Budget", *, spent_s: float, counted: int) -> "Budget":
        """With `more` added beyond what is used up. A bound that is used up and not added to is lifted.

        So `--time 2m` gives two more minutes to a study that ended at its number of trials, or overran its time.
        """
        return Budget(
            seconds=_extended(self.seconds, more.seconds, spent_s, other=more.trials),
            trials=_extended(self.trials, more.trials, counted, other=more.seconds),
        )
