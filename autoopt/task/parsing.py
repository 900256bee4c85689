"""From a column as it was read to numbers, texts, truth values or dates.

What counts as missing: an empty field, null and NaN, everywhere. In a column whose other values are all numbers, dates
or truth values, also the spellings in MISSING_SPELLINGS ('NA', '?', ...). In a column of texts these stay what they
are, categories of their own: 'None' may well mean that a house has no fence. The target never has them read as
missing.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from autoopt.task.table import TEXT

MISSING_SPELLINGS = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "Null", "null", "None", "none", "?", "-", ".", "#N/A")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INFINITE = r"^[+-]?(inf|infinity|Inf|Infinity|INF)$"
_DATES = (
    r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?$"
    r"|^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}( \d{1,2}:\d{2}(:\d{2})?)?$"
    r"|^\d{1,2}[- ]?(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]?\d{2,4}$"
    r"|^(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* \d{1,2},? \d{4}$"
)
_TRUTH = {"true": 1.0, "false": 0.0}
DIRT_SHARE = 0.05
"""Below this share of texts among numbers, the texts are dirt and not codes."""
_FEW_TEXTS, _MANY_NUMBERS = 3, 20


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A column of numbers; NaN where missing. `boolean` when they stand for false and true."""

    values: NDArray[np.float64]
    boolean: bool = False
    spelled_missing: tuple[str, ...] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.values)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A column of texts: `values[codes]`, code 0 and '' where missing; the other values sorted."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]
    numeric: NDArray[np.bool_]  # for each value, whether it reads as a number
    infinite: NDArray[np.bool_]
    dates: bool = False  # every value is a date
    labels: tuple[str, ...] | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.asarray(self.codes == 0)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each value."""
        return np.bincount(self.codes, minlength=len(self.values))


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A column of dates or times that the source knows as such: int64 microseconds, and which are missing."""

    values: NDArray[np.int64]
    missing: NDArray[np.bool_]


Parsed = Numbers | Texts | Moments


def parse(array: pa.Array, *, target: bool = False) -> Parsed:
    """A column of any of Table's types. With `target`, no spelling of missing is read as missing."""
    if pa.types.is_timestamp(array.type):
        gone = array.is_null().to_numpy(zero_copy_only=False)
        return Moments(values=pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False), missing=gone)
    if pa.types.is_null(array.type):
        return Numbers(values=np.full(len(array), np.nan))
    if array.type == TEXT:
        return _parse_text(array, target=target)
    boolean = pa.types.is_boolean(array.type)
    reals = (array.cast(pa.int8()) if boolean else array).cast(pa.float64(), safe=False)
    values = pc.fill_null(reals, np.nan).to_numpy(zero_copy_only=False)
    return Numbers(values=np.array(values, dtype=np.float64), boolean=boolean)


def _parse_text(array: pa.Array, *, target: bool) -> Parsed:
    filled = pc.if_else(pc.equal(array, ""), pa.scalar(None, TEXT), array)
    try:
        values = pc.fill_null(pc.cast(filled, pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _of_dictionary(filled, target=target)
    return Numbers(values=np.array(values, dtype=np.float64))


def _of_dictionary(array: pa.Array, *, target: bool) -> Parsed:
    """Texts that are not all numbers: decided on the different values, not on every row."""
    texts = as_texts(array)
    words = np.array(texts.values[1:], dtype=object)
    is_missing = np.isin(words, MISSING_SPELLINGS) if not target else np.zeros(len(words), bool)
    is_number = texts.numeric[1:] | texts.infinite[1:] | np.isin(words, ("nan", "NaN"))
    is_truth = np.array([w.lower() in _TRUTH for w in words], bool) if len(words) < 20 else np.zeros(len(words), bool)
    if len(words) and (is_number | is_missing).all():
        return _spelled(texts, {w: _as_number(w) for w in words[is_number & ~is_missing]}, words[is_missing])
    if is_truth.any() and (is_truth | is_missing).all() and not target:
        spelled = _spelled(texts, {w: _TRUTH[w.lower()] for w in words[is_truth]}, words[is_missing])
        return Numbers(values=spelled.values, boolean=True, spelled_missing=spelled.spelled_missing)
    return texts


def as_texts(array: pa.Array) -> Texts:
    """A text column by its different values, null and '' as missing."""
    encoded = pc.dictionary_encode(pc.if_else(pc.equal(array, ""), pa.scalar(None, TEXT), array))
    values: list[str] = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    code = np.zeros(len(values) + 1, dtype=np.int32)  # the last for null
    code[np.array(order, dtype=np.int64)] = np.arange(1, len(values) + 1)
    codes = code[pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)]
    ordered = pa.array(["", *(values[k] for k in order)], TEXT)
    dated = _matches(ordered, _DATES)[1:]
    return Texts(
        values=tuple(ordered.to_pylist()),
        codes=codes,
        numeric=_matches(ordered, _NUMBER),
        infinite=_matches(ordered, _INFINITE),
        dates=bool(len(dated)) and bool((dated | np.isin(values_of(ordered), MISSING_SPELLINGS)).all() and dated.any()),
    )


def values_of(ordered: pa.Array) -> NDArray[Any]:
    """The values without the first, which stands for missing."""
    return np.array(ordered.to_pylist()[1:], dtype=object)


def _matches(values: pa.Array, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
    return found.astype(bool)


def _as_number(word: str) -> float:
    """As Python reads it; what is no number is NaN."""
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _spelled(texts: Texts, known: dict[str, float], missing: NDArray[Any]) -> Numbers:
    table = np.array([np.nan, *(known.get(v, np.nan) for v in texts.values[1:])])
    return Numbers(values=table[texts.codes], spelled_missing=tuple(missing))


def dirt(texts: Texts) -> NDArray[np.bool_] | None:
    """For each value, whether it is a text that does not belong among the numbers; None where the column is texts.

    Few texts among many numbers, or two or three words among numbers of many values, are dirt; anything else ('A/5
    21171' and '113803' as ticket numbers) is a column of codes.
    """
    numeric, counts = texts.numeric | texts.infinite, texts.counts
    odd = ~numeric
    odd[0] = False
    spelled = np.isin(np.array(texts.values, dtype=object), MISSING_SPELLINGS)
    numbers, others = int(counts[numeric].sum()), int(counts[odd & ~spelled].sum())
    if not numbers or not others:
        return None
    few = others < DIRT_SHARE * (numbers + others)
    words = int((odd & ~spelled).sum()) <= _FEW_TEXTS and int(numeric.sum()) > _MANY_NUMBERS and numbers > others
    return odd if few or words else None


def with_units(texts: Texts) -> bool:
    """Whether the values are numbers in another dress: decimal commas, thousands, currencies, per cent."""
    words = texts.values[1:]
    if len(words) <= _MANY_NUMBERS:
        return False
    bare = [re.sub(r"[$€£¥%,\s]", "", w) for w in words]
    return all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", b) for b in bare) and not bool(texts.numeric[1:].all())
