"""Single values as they come from files and frames: what is missing, what is a number, how a number reads as text."""

import contextlib
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem

MISSING_SPELLINGS: Final = frozenset(
    ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "Null", "null", "None", "none", "?", "-", ".", "#N/A")
)
"""Texts that stand for a missing value in a column of numbers: the same that training reads so."""

_WORDS: Final = {"true": 1.0, "false": 0.0}
_MISSING_TYPES: Final = frozenset({"NAType", "NaTType"})  # pandas.NA and NaT, without importing pandas
_PLAIN_NUMBERS: Final = frozenset({float, int, type(None)})  # numpy reads these as we do, ten times faster
_SHOWN = 5


def is_missing(value: Any) -> bool:
    """None, NaN, NaT or pandas.NA."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def cell_text(value: Any) -> str:
    """A category's text: '' where missing; whole numbers without '.0'; booleans 'True' and 'False' as in a CSV file.

    Blanks around it go, as they do where a CSV file is read.
    """
    if isinstance(value, str):
        return (value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")).strip()
    if is_missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value)


def cell_number(value: Any) -> float | None:
    """A number's value: NaN where missing; None where it is no number."""
    if isinstance(value, str):
        return _parsed(value.strip())
    if is_missing(value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def number_array(name: str, values: Any, problems: list[Problem]) -> NDArray[np.float64]:
    """A column of numbers (rows,); what is no number becomes NaN and a problem."""
    array = _array(values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    cells = array.tolist()
    if set(map(type, cells)) <= _PLAIN_NUMBERS:
        with contextlib.suppress(OverflowError):  # a whole number beyond all floats is a problem, told below
            return np.array(cells, dtype=np.float64)
    parsed = [cell_number(v) for v in cells]
    bad = [i for i, v in enumerate(parsed) if v is None]
    if bad:
        shown = ", ".join(f"{array[i]!r} in row {i + 1}" for i in bad[:_SHOWN])
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        what = f"Column {name!r} must hold numbers; it holds {shown}{more}."
        problems.append(Problem(what=what, mend="Correct these cells, or leave them empty."))
    return np.array([math.nan if v is None else v for v in parsed], dtype=np.float64)


def text_array(values: Any) -> NDArray[np.object_]:
    """A column of texts (rows,)."""
    cells = _array(values).tolist()
    plain = set(map(type, cells)) <= {str} and "".join(cells).isascii()
    found = np.empty(len(cells), dtype=object)
    found[:] = [v.strip() for v in cells] if plain else [cell_text(v) for v in cells]
    return found


def _array(values: Any) -> NDArray[Any]:
    """One-dimensional; a list keeps the types of its values (numpy alone would make [1, 'a'] all text)."""
    if isinstance(values, list | tuple):
        found = np.empty(len(values), dtype=object)
        try:
            found[:] = values
        except ValueError:  # lists in it, which numpy would lay out as further dimensions
            for row, value in enumerate(values):
                found[row] = value
        return found
    found = np.atleast_1d(np.asarray(values)).reshape(-1)
    return found.astype(str).astype(object) if found.dtype.kind in "mM" else found  # a date is no number


def _parsed(text: str) -> float | None:
    if not text or text in MISSING_SPELLINGS:
        return math.nan
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    try:
        return None if "_" in text else float(text)  # Python would read '1_000'
    except ValueError:
        return None
