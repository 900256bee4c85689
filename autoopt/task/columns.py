"""What each column is taken for, and why some are left out."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.facts import ColumnFacts, Role
from autoopt.task.parsing import Moments, Numbers, Texts, dirt, parse, with_units
from autoopt.task.table import TEXT
from autoopt.task.wording import count, counted_rows, listed, quoted

MOST_CATEGORIES = 10_000
_MANY_CATEGORIES = 100
_IDENTIFIER_SHARE, _IDENTIFIER_LEAST = 0.5, 50
_TEXT_WORDS, _TEXT_SHARE, _TEXT_LEAST = 3.0, 0.01, 20
_FEW_CODES = 10
_ID_NAMES = ("id", "index", "idx", "row", "rowid", "row_id", "key", "uuid", "guid", "nr", "no", "number")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's facts with its values: numbers (rows,), or codes (rows,) into sorted values, 0 and '' missing,
    or texts (rows,), '' where missing."""

    facts: ColumnFacts
    numbers: NDArray[np.float64] | None = None
    codes: NDArray[np.int32] | None = None
    values: tuple[str, ...] = ()
    texts: NDArray[np.object_] | None = None

    def take(self, chosen: NDArray[np.int64]) -> "Column":
        """Some of its rows."""
        return replace(
            self,
            numbers=None if self.numbers is None else self.numbers[chosen],
            codes=None if self.codes is None else self.codes[chosen],
            texts=None if self.texts is None else self.texts[chosen],
        )

    def left_out(self, role: Role, note: str) -> "Column":
        """The same column, not learned from."""
        return replace(self, facts=replace(self.facts, role=role, used=False, note=note))


def understand(name: str, array: pa.Array, rows: NDArray[np.int64], problems: list[Problem]) -> Column:
    """A feature column, its role inferred. What must be mended first goes to `problems`."""
    parsed = parse(array)
    if isinstance(parsed, Moments):
        distinct = len(np.unique(parsed.values[~parsed.missing]))
        gone = int(parsed.missing.sum())
        return Column(
            facts=ColumnFacts(name=name, role=Role.DATE, used=False, missing=gone, distinct=distinct, note=_LATER_DATES)
        )
    if isinstance(parsed, Numbers):
        return _number(name, parsed, rows, problems)
    return _text(name, parsed, rows, problems)


def free_text(name: str, array: pa.Array, problems: list[Problem]) -> Column:
    """A column that the user named as free text: every value as it is written, '' where missing."""
    reals = pa.types.is_floating(array.type)
    present = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array) if reals else array
    values = pc.fill_null(present.cast(TEXT), "")
    texts = np.empty(len(values), dtype=object)
    texts[:] = values.to_pylist()
    empty = int(pc.sum(pc.equal(pc.utf8_trim_whitespace(values), "")).as_py() or 0)
    if empty == len(texts):
        what = f"--text {quoted(name)} holds no text in any row."
        problems.append(Problem(what=what, mend="Name a column that is filled."))
    numbers = isinstance(parse(array), Numbers) and empty < len(texts)
    facts = ColumnFacts(
        name=name,
        role=Role.TEXT,
        used=True,
        missing=int(pc.sum(pc.equal(values, "")).as_py() or 0),
        distinct=len(pc.unique(pc.if_else(pc.equal(values, ""), pa.scalar(None, TEXT), values)).drop_null()),
        note="numbers, read as text" if numbers else "",
    )
    return Column(facts=facts, texts=texts)


_LATER_DATES = "a date: not learned from yet; left out"
_FREE_TEXT = "free text: learned from where --text names it; left out"


def _number(name: str, parsed: Numbers, rows: NDArray[np.int64], problems: list[Problem]) -> Column:
    values = parsed.values
    infinite = np.isinf(values)
    if infinite.any():
        what = f"Column {quoted(name)} holds infinite values in {counted_rows(rows[infinite])}."
        mend = "Leave them empty (missing), or put a finite bound in their place."
        problems.append(Problem(what=what, mend=mend))
    present = values[~parsed.missing & ~infinite]
    different = np.unique(present)
    whole = bool(len(present)) and bool((different == np.floor(different)).all()) and not infinite.any()
    spelled = f"{listed(parsed.spelled_missing)} read as missing" if parsed.spelled_missing else ""
    codes = (
        f"{count(len(different), 'whole number')}: taken as a number"
        if whole and 2 < len(different) <= _FEW_CODES
        else ""
    )
    facts = ColumnFacts(
        name=name,
        role=Role.BOOLEAN if parsed.boolean else Role.NUMBER,
        used=True,
        missing=int(parsed.missing.sum()),
        distinct=len(different),
        note="; ".join(n for n in (spelled, codes) if n),
        whole=whole and not parsed.boolean,
    )
    column = Column(facts=facts, numbers=np.where(values == 0, 0.0, values))  # -0.0 and 0.0 are one value
    if facts.missing == len(values):
        return column.left_out(Role.CONSTANT, "no values at all; left out")
    if len(different) <= 1 and not infinite.any():
        return column.left_out(Role.CONSTANT, f"always {different[0]:g}; left out")
    if whole and _counts_rows(name, different, len(values)):
        return column.left_out(Role.IDENTIFIER, "a different whole number in every row: an identifier; left out")
    return column


def _counts_rows(name: str, different: NDArray[np.float64], rows: int) -> bool:
    """A row number (0, 1, 2, ...), or different in every row under a name that says identifier."""
    if len(different) != rows or rows < 3:
        return False
    low = name.lower().replace(" ", "_").replace("-", "_")
    named = low in _ID_NAMES or low.endswith(("_id", "_key", "_nr", "_no")) or low.startswith(("unnamed", "id_"))
    step = different[1] - different[0]
    return named or (bool((np.diff(different) == step).all()) and step == 1 and different[0] in (0.0, 1.0))


def _text(name: str, parsed: Texts, rows: NDArray[np.int64], problems: list[Problem]) -> Column:
    counts = parsed.counts
    different, present = len(parsed.values) - 1, len(parsed.codes) - int(counts[0])
    facts = ColumnFacts(name=name, role=Role.CATEGORY, used=True, missing=int(counts[0]), distinct=different)
    column = Column(facts=facts, codes=parsed.codes, values=parsed.values)
    if parsed.dates:
        return column.left_out(Role.DATE, _LATER_DATES)
    if parsed.infinite.any():
        at = rows[parsed.infinite[parsed.codes]]
        problems.append(
            Problem(
                what=f"Column {quoted(name)} holds infinite values in {counted_rows(at)}.",
                mend="Leave them empty (missing), or put a finite bound in their place.",
            )
        )
    note = _mixed(name, parsed, rows, problems)
    if different <= 1 and not facts.missing:
        return column.left_out(Role.CONSTANT, f"always {quoted(parsed.values[1])}; left out")
    if different > max(_IDENTIFIER_LEAST, _IDENTIFIER_SHARE * present) or different > MOST_CATEGORIES:
        if _words(parsed) >= _TEXT_WORDS:
            return column.left_out(Role.TEXT, _FREE_TEXT)
        seen = f"{count(different, 'different text')} in {count(present, 'row')}"
        return column.left_out(Role.IDENTIFIER, f"{seen}: an identifier, or too many categories; left out")
    if _words(parsed) >= _TEXT_WORDS and different > max(_TEXT_LEAST, _TEXT_SHARE * present):
        return column.left_out(Role.TEXT, _FREE_TEXT)
    many = f"{different:,} categories: rare ones are taken together" if different > _MANY_CATEGORIES else ""
    return replace(column, facts=replace(facts, note="; ".join(n for n in (note, many) if n)))


def _words(parsed: Texts) -> float:
    """Mean number of words of a value."""
    sample = parsed.values[1:5001]
    return sum(len(v.split()) for v in sample) / max(len(sample), 1)


def _mixed(name: str, parsed: Texts, rows: NDArray[np.int64], problems: list[Problem]) -> str:
    """Numbers and texts in one column: a problem where the texts are dirt, else a note."""
    if with_units(parsed):
        shown = listed(parsed.values[1:], shown=3)
        problems.append(
            Problem(
                what=f"Column {quoted(name)} holds numbers with decimal commas, separators or units: {shown}.",
                mend="Write plain numbers with a decimal point (1234.5).",
            )
        )
        return ""
    bad = dirt(parsed)
    numeric = parsed.numeric[1:].sum()
    if bad is not None:
        at = rows[bad[parsed.codes]]
        words = [parsed.values[k] for k in np.argsort(-parsed.counts * bad, kind="stable")[: int(bad.sum())]]
        numbers = int(parsed.counts[parsed.numeric].sum())
        problems.append(
            Problem(
                what=f"Column {quoted(name)} mixes {count(numbers, 'number')} with texts ({listed(words)}) "
                f"in {counted_rows(at)}.",
                mend="Leave those fields empty (missing), or correct them; if all are codes, put a letter before each.",
            )
        )
    elif numeric and not parsed.dates:
        share = parsed.counts[1:][parsed.numeric[1:]].sum() / parsed.counts[1:].sum()
        return f"{share:.0%} numbers, else texts: taken as categories" if share >= 0.05 else ""
    return ""
