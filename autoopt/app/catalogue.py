"""The catalogue of strategies as cards, and what the machine offers: for people to read."""

import difflib
import inspect
import re
from dataclasses import dataclass

from autoopt.app.targets import runtime_rows
from autoopt.devices import describe, describe_libraries, machine, slots
from autoopt.errors import OptionError
from autoopt.space.domains import Choice, Domain, Whole
from autoopt.strategies import STRATEGIES
from autoopt.strategies.base import Strategy, Topic

SOURCE_COLUMNS = 116
"""Columns that a card's text has in its file: 120, less the indentation."""


@dataclass(frozen=True, kw_only=True)
class CardField:
    """One choice of a strategy: its name in a recipe and in --set, what it may be, its default, what it means."""

    name: str
    values: str
    default: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """A strategy's card."""

    name: str
    stage: str
    topic: str
    headline: str
    text: str  # paragraphs and bullets, each on a line of its own, not wrapped
    fields: tuple[CardField, ...]

    @property
    def choices(self) -> str:
        """The fields in one line: the values of a main field, then the names of the others."""
        main = [f.values for f in self.fields if "." not in f.name]
        others = ", ".join(f.name.partition(".")[2] for f in self.fields if "." in f.name)
        return "; ".join([*main, others] if others else main)


def _card(strategy: type[Strategy]) -> Card:
    text = _unwrapped(inspect.cleandoc(strategy.__doc__ or ""))
    return Card(
        name=f"{strategy.family}: {strategy.name}" if strategy.family else strategy.name,
        stage=strategy.stage,
        topic=strategy.about().value,
        headline=_headline(text),
        text=text,
        fields=tuple(
            CardField(name=d.name, values=_values(d.domain), default=_short(d.default), summary=d.summary)
            for d in strategy.declarations()
        ),
    )


def _headline(text: str) -> str:
    """The first sentence, without what it cites."""
    first = re.split(r"\.(?= [A-Z]|$)", re.sub(r" \([^()]*\d{4}[^()]*\)", "", text.splitlines()[0]))[0]
    return f"{first}."


def _unwrapped(text: str) -> str:
    """Docstring lines joined where only the editor's margin broke them; a screen wraps at its own width."""
    lines: list[str] = []
    last = ""  # the source line before
    for line in text.splitlines():
        room = SOURCE_COLUMNS - len(last)
        runs_on = bool(last) and ((line[:1].islower() and not last.endswith(".")) or room <= len(line.split(" ")[0]))
        if runs_on and line and not line.startswith("*"):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
        last = line
    return "\n".join(lines)


def _values(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return ", ".join(_short(v) for v in domain.values)
    return f"{_short(domain.low)} to {_short(domain.high)}{', whole' if isinstance(domain, Whole) else ''}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cards() -> list[Card]:
    """Every strategy's card by topic, within one in the order of the catalogue."""
    order = list(Topic)
    return [_card(s) for s in sorted(STRATEGIES, key=lambda s: order.index(s.about()))]


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
    found = machine()
    rows = list(describe(found))
    first = slots(found)[0]
    threads = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
    rows.append(("trials", f"{len(slots(found))} at a time on {first.device}, {threads} each; --slots changes it"))
    return rows + runtime_rows([a.kind for a in found.accelerators]) + list(describe_libraries())
