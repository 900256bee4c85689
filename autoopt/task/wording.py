"""Sentences that messages about data have in common: counts, row numbers, names."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SHOWN = 5
"""How many rows or names a message lists before it only counts."""
_LONGEST = 60


def count(number: int, noun: str, plural: str = "") -> str:
    """`(1, 'row')` → '1 row'; `(1200, 'row')` → '1,200 rows'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def quoted(text: object) -> str:
    """A value in quotes, cut where it is too long to be read."""
    value = str(text)
    return repr(value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…")


def listed(items: Iterable[object], *, shown: int = SHOWN) -> str:
    """'a', 'b' and 3 more."""
    every = [quoted(i) for i in items]
    rest = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {rest:,} more" if rest > 0 else "")


def rows(numbers: Sequence[int] | NDArray[np.int64]) -> str:
    """Row numbers of the file, the first five: 'row 3', 'rows 3, 5, 8, 9, 12, ...'."""
    shown = ", ".join(str(int(n)) for n in numbers[:SHOWN])
    return f"row{'s' if len(numbers) != 1 else ''} {shown}{', ...' if len(numbers) > SHOWN else ''}"


def counted_rows(numbers: Sequence[int] | NDArray[np.int64]) -> str:
    """'3 rows (rows 4, 8, 9)'."""
    return f"{count(len(numbers), 'row')} ({rows(numbers)})"


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """At most three of `names` that `name` may have been meant for, letter case aside."""
    folded = {n.casefold(): n for n in reversed(names)}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)
    return [folded[f] for f in found]


def missing_column(option: str, name: str, names: Sequence[str]) -> tuple[str, str]:
    """What and mend of a Problem about a column that is not there."""
    close = nearest(name, names)
    hint = f"Did you mean {' or '.join(quoted(c) for c in close)}? " if close else ""
    return f"{option} {quoted(name)} is not a column.", f"{hint}Columns: {listed(names, shown=20)}."
