"""The catalogue of strategies as cards, and what the machine offers: for people to read."""

import dataclasses
import difflib
import inspect
from dataclasses import dataclass

from autoopt.devices import describe, machine
from autoopt.errors import OptionError
from autoopt.strategies import STRATEGIES
from autoopt.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class CardField:
    """One choice of a strategy: its name in a recipe, its range and default, and what it means."""

    line: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """A strategy's card."""

    name: str
    stage: str
    headline: str
    text: str
    fields: tuple[CardField, ...]


def _card(strategy: type[Strategy]) -> Card:
    text = inspect.cleandoc(strategy.__doc__ or "")
    declarations = strategy.declarations()
    fields = tuple(
        CardField(
            line=f"{d.name}: {str(d.domain).removeprefix('one of ')} (default {_default(d.default)})", summary=d.summary
        )
        for d in declarations
    )
    name = f"{strategy.family}: {strategy.name}" if strategy.family else strategy.name
    return Card(
        name=name, stage=strategy.stage, headline=text.split("\n\n")[0].replace("\n", " "), text=text, fields=fields
    )


def _default(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cards() -> list[Card]:
    """Every strategy's card, in the order of the catalogue."""
    return [_card(s) for s in STRATEGIES if dataclasses.is_dataclass(s)]


def card(name: str) -> Card:
    """The card of one strategy. Raises OptionError with the names nearest to it."""
    for strategy in STRATEGIES:
        if strategy.name == name:
            return _card(strategy)
    names = [s.name for s in STRATEGIES]
    near = difflib.get_close_matches(name, names, n=3)
    raise OptionError(
        f"There is no strategy {name!r}.",
        f"Did you mean {', '.join(near)}?" if near else f"There are: {', '.join(names)}.",
    )


def doctor_rows() -> list[tuple[str, str]]:
    """What this machine offers and what is missing, with the line that installs it."""
    return list(describe(machine()))
