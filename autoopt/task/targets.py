"""The target: what kind of task it makes, its classes, and what is wrong with it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.facts import Kind
from autoopt.task.metrics import METRICS
from autoopt.task.parsing import MISSING_SPELLINGS, Moments, Numbers, Texts, as_texts, dirt, parse, with_units
from autoopt.task.table import TEXT
from autoopt.task.wording import count, counted_rows, listed, quoted
from autoopt.task.wording import rows as row_list

MOST_CLASSES = 100
LEAST_CLASS_ROWS = 3
_FEW_VALUES, _FEW_SHARE, _ROWS_PER_VALUE = 20, 0.05, 10
_UNLABELLED = "Remove these rows, or label them; `autoopt predict` is for rows without a target."


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target's values: int64 class indices (-1 where it has none), or float64 values (NaN where it has none)."""

    kind: Kind
    values: NDArray[np.int64] | NDArray[np.float64]
    classes: tuple[str, ...] = ()
    numeric_classes: bool = False
    warnings: tuple[str, ...] = ()


def understand_target(
    name: str, array: pa.Array, numbers: NDArray[np.int64], metric_name: str | None, *, labelled: bool
) -> tuple[Target | None, list[Problem]]:
    """The target, or None and the problems that keep it from being one.

    Texts and truth values are classes. Whole numbers are classes when they are two, or few (at most 20, each on 20
    rows or more on average; up to 5 on 10 rows or more); with more than two, a metric that was asked for decides.
    Other numbers are values, unless they are only two.
    """
    parsed = parse(array, target=True)
    if isinstance(parsed, Moments):
        mend = "Give the column of a number or a class; a date can be made a number of days."
        return None, [Problem(what=f"The target {quoted(name)} holds dates.", mend=mend)]
    problems: list[Problem] = []
    missing = parsed.missing
    if missing.all():
        return None, [Problem(what=f"The target {quoted(name)} has no values at all.", mend="Is it the right column?")]
    if missing.any():
        what = f"The target {quoted(name)} has no value in {counted_rows(numbers[missing])}."
        problems.append(Problem(what=what, mend=_UNLABELLED))
    found = (
        _of_numbers(name, parsed, numbers, metric_name, labelled, problems)
        if isinstance(parsed, Numbers)
        else _of_texts(name, parsed, numbers, problems)
    )
    if found is not None and found.kind.classifies:
        _check_classes(name, found, numbers, problems)
    return found, problems


def _of_numbers(
    name: str,
    parsed: Numbers,
    numbers: NDArray[np.int64],
    metric_name: str | None,
    labelled: bool,
    problems: list[Problem],
) -> Target | None:
    values, infinite = parsed.values, np.isinf(parsed.values)
    if infinite.any():
        what = f"The target {quoted(name)} is infinite in {counted_rows(numbers[infinite])}."
        problems.append(Problem(what=what, mend="Correct or remove these rows."))
    different = np.unique(values[np.isfinite(values)])
    if len(different) < 2:
        shown = "" if not len(different) else f", {different[0]:g}"
        what = f"The target {quoted(name)} has only one value{shown}: there is nothing to learn."
        problems.append(Problem(what=what, mend="Is it the right column? Give rows of other values too."))
        return None
    if parsed.boolean or labelled or _are_classes(different, int(np.isfinite(values).sum()), metric_name):
        classes = tuple(_label(v, parsed.boolean) for v in different)
        codes = np.where(np.isfinite(values), np.searchsorted(different, values), -1)
        kind = Kind.BINARY if len(classes) == 2 else Kind.MULTICLASS
        warnings = () if len(classes) == 2 or labelled or metric_name else (_read_as_classes(name, len(classes)),)
        return Target(
            kind=kind,
            values=codes.astype(np.int64),
            classes=classes,
            numeric_classes=not parsed.boolean,
            warnings=warnings,
        )
    return Target(kind=Kind.REGRESSION, values=values)


def _read_as_classes(name: str, classes: int) -> str:
    what = f"The target {quoted(name)} has {classes} different whole numbers: taken as classes"
    return f"{what} (--metric rmse takes them as values)."


def _are_classes(different: NDArray[np.float64], rows: int, metric_name: str | None) -> bool:
    if len(different) == 2:
        return True
    if not (different == np.floor(different)).all():
        return False
    if metric_name is not None:
        return Kind.MULTICLASS in METRICS[metric_name].kinds and len(different) <= MOST_CLASSES
    few = len(different) <= _FEW_VALUES and len(different) < _FEW_SHARE * rows
    return few or (len(different) <= 5 and rows >= _ROWS_PER_VALUE * len(different))


def _label(value: float, boolean: bool) -> str:
    if boolean:
        return str(bool(value))
    return str(int(value)) if value == np.floor(value) and abs(value) < 1e15 else repr(float(value))


def _of_texts(name: str, parsed: Texts, numbers: NDArray[np.int64], problems: list[Problem]) -> Target | None:
    classes = parsed.values[1:]
    odd = np.isin(np.array(parsed.values, dtype=object), MISSING_SPELLINGS)
    numeric = parsed.numeric | parsed.infinite
    if odd.any() and numeric.any() and (odd | numeric)[1:].all():
        words = [v for v, is_odd in zip(parsed.values, odd, strict=True) if is_odd]
        at = numbers[odd[parsed.codes]]
        what = f"The target {quoted(name)} holds {listed(words)} among numbers in {counted_rows(at)}."
        problems.append(Problem(what=what, mend=_UNLABELLED))
        return None
    dirty = dirt(parsed)
    if len(classes) > _FEW_VALUES and (dirty is not None or with_units(parsed)):
        at = numbers[dirty[parsed.codes]] if dirty is not None else numbers
        words = [v for k, v in enumerate(parsed.values) if (dirty[k] if dirty is not None else k > 0)]
        what = f"The target {quoted(name)} mixes numbers with texts ({listed(words)}) in {counted_rows(at)}."
        problems.append(Problem(what=what, mend="Correct or remove these rows; write plain numbers (1234.5)."))
        return None
    if len(classes) < 2:
        what = f"The target {quoted(name)} has only one value, {quoted(classes[0])}: there is nothing to learn."
        problems.append(Problem(what=what, mend="Is it the right column? Give rows of other values too."))
        return None
    if len(classes) > MOST_CLASSES:
        what = f"The target {quoted(name)} has {len(classes):,} different texts ({listed(classes, shown=3)})"
        problems.append(
            Problem(
                what=f"{what}; at most {MOST_CLASSES} classes can be learned.",
                mend="Is it the right column? Take rare classes together.",
            )
        )
        return None
    kind = Kind.BINARY if len(classes) == 2 else Kind.MULTICLASS
    codes = parsed.codes.astype(np.int64) - 1
    return Target(kind=kind, values=codes, classes=classes, warnings=alike(name, classes))


def alike(name: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    """A warning about classes that differ only in letter case or space."""
    forms: dict[str, list[str]] = {}
    for label in classes:
        forms.setdefault(" ".join(label.casefold().split()), []).append(label)
    twins = [", ".join(quoted(t) for t in same) for same in forms.values() if len(same) > 1]
    return (f"Classes of {quoted(name)} differ only in letter case or space: {'; '.join(twins)}.",) if twins else ()


def _check_classes(name: str, target: Target, numbers: NDArray[np.int64], problems: list[Problem]) -> None:
    counts = np.bincount(target.values[target.values >= 0], minlength=len(target.classes))
    small = np.flatnonzero(counts < LEAST_CLASS_ROWS)
    if len(small):
        each = [
            f"{quoted(target.classes[k])} has {count(int(counts[k]), 'row')} ({row_list(numbers[target.values == k])})"
            for k in small[:5]
        ]
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        problems.append(
            Problem(
                what=f"Classes of the target {quoted(name)} with too few rows: {'; '.join(each)}{more}.",
                mend=f"Each needs {LEAST_CLASS_ROWS}, one for each of train, valid and test: add rows, "
                "or take the class together with another, or remove it.",
            )
        )


def label_texts(array: pa.Array) -> Texts:
    """Any column as texts, for comparing it with the target or reading parts from it."""
    return as_texts(array if array.type == TEXT else array.cast(TEXT))
