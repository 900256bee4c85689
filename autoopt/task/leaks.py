"""Columns that hold the answer: every score learned from them would be a lie."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.columns import Column
from autoopt.task.targets import Target
from autoopt.task.wording import quoted

_PURE = 0.999
_LEAST_ROWS_PER_VALUE = 20


def find_leaks(name: str, target: Target, columns: Sequence[Column], warnings: list[str]) -> list[Problem]:
    """Problems for copies of the target, relabelled ones included; warnings for columns that all but give it away."""
    problems = []
    for column in columns:
        if not column.facts.used:
            continue
        verdict = _against_classes(column, target) if target.kind.classifies else _against_values(column, target)
        if verdict == "copy":
            problems.append(_copy(name, column.facts.name))
        elif verdict:
            warnings.append(f"Column {quoted(column.facts.name)} {verdict}: is it known before the target is?")
    return problems


def _copy(target: str, column: str) -> Problem:
    return Problem(
        what=f"Column {quoted(column)} is a copy of the target {quoted(target)}, under the same or other names.",
        mend="Drop the column; every score would be perfect and mean nothing.",
    )


def _against_classes(column: Column, target: Target) -> str:
    known = target.values >= 0
    classes = target.values[known].astype(np.int64)
    if column.facts.missing or column.facts.distinct > max(len(target.classes), len(classes) / _LEAST_ROWS_PER_VALUE):
        return ""
    different, codes = np.unique(_values(column)[known], return_inverse=True)
    table = np.zeros((len(different), len(target.classes)), dtype=np.int64)
    np.add.at(table, (codes, classes), 1)
    if len(different) == len(target.classes) == np.count_nonzero(table):
        return "copy"
    common = np.bincount(classes).max() / len(classes)
    pure = table.max(axis=1).sum() / len(classes)
    gives_away = pure >= _PURE and (1 - pure) < 0.1 * (1 - common)
    return f"gives the class away in {pure:.2%} of the rows" if gives_away else ""


def _values(column: Column) -> NDArray[np.float64] | NDArray[np.int32]:
    if column.numbers is not None:
        return column.numbers
    if column.texts is not None:
        return np.unique(column.texts, return_inverse=True)[1].astype(np.int32)
    return column.codes if column.codes is not None else np.zeros(0)


def _against_values(column: Column, target: Target) -> str:
    if column.numbers is None or column.facts.missing:
        return ""
    known = np.isfinite(target.values) & np.isfinite(column.numbers)
    values, goal = column.numbers[known], target.values[known].astype(np.float64)
    if len(goal) and np.array_equal(values, goal):
        return "copy"
    with np.errstate(all="ignore"):  # values near the largest double have no variance that is finite
        straight = len(goal) > 2 and abs(float(np.corrcoef(values, goal)[0, 1])) > 1 - 1e-12
    return "is the target times a number plus a number" if straight else ""
