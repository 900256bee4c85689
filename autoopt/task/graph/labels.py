"""What the data say is right, against what a graph gives: kinds, classes, targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, Problem
from autoopt.task.facts import Kind
from autoopt.task.wording import count, counted_rows, listed, quoted

PROBABILITY: Final = "probability"
LOGIT: Final = "logit"
LOGITS: Final = "logits"
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the rows are judged by."""

    kind: Kind
    classes: tuple[str, ...]
    numeric_classes: bool
    target: NDArray[np.int64] | NDArray[np.float64]  # (rows,)
    form: str  # of the graph's output: '', 'logits' (rows, k); of two classes in one column 'probability', 'logit'


def agreement(scores: NDArray[Any]) -> Judged:
    """Without labels: what the graph itself says, (rows, k) or (rows, 1), is what is right."""
    if scores.shape[1] == 1:
        values = scores[:, 0].astype(np.float64)
        return Judged(kind=Kind.REGRESSION, classes=(), numeric_classes=False, target=values, form="")
    classes = tuple(str(k) for k in range(scores.shape[1]))
    target = scores.argmax(axis=1).astype(np.int64)
    return Judged(kind=_kind(classes), classes=classes, numeric_classes=True, target=target, form=_form(scores))


def labelled(name: str, labels: NDArray[Any], scores: NDArray[Any]) -> Judged:
    """With labels (rows,): classes where the output has a column for each, or one column and they are two.

    Sorted labels are the output's columns in their order. Raises DataError for labels that cannot be told so.
    """
    width, different = scores.shape[1], np.unique(labels)
    numeric = different.dtype.kind in "biuf"
    if numeric and not np.isfinite(different.astype(np.float64)).all():
        raise DataError(f"The labels {quoted(name)} are not all there.", "Give each row a label, or leave it out.")
    whole = numeric and bool((different.astype(np.float64) == np.floor(different.astype(np.float64))).all())
    if width == 1 and len(different) == 2 and (whole or not numeric):
        form = PROBABILITY if bool(((scores >= 0) & (scores <= 1)).all()) else LOGIT
        return _classes(labels, different, numeric, form)
    if width == 1 and numeric:
        values = labels.astype(np.float64)
        return Judged(kind=Kind.REGRESSION, classes=(), numeric_classes=False, target=values, form="")
    if whole and different[0] >= 0 and different[-1] < width:
        different = np.arange(width)
    if len(different) != width or (numeric and not whole):
        what = f"The labels {quoted(name)} have {count(len(different), 'value')} ({listed(different.tolist())}), "
        what += f"and the graph's output has {count(width, 'column')}."
        raise DataError(what, "Labels in sorted order are the columns: one for each, or the numbers of the columns.")
    return _classes(labels, different, numeric, _form(scores))


def known_labels(
    name: str, labels: Sequence[str], classes: tuple[str, ...], rows: NDArray[np.int64], problems: list[Problem]
) -> NDArray[np.int64]:
    """Which of the `classes` each label is, (rows,); -1, and a problem, where it is missing or none of them.

    '1.0' is the class '1', and 'true' is 'True'; `rows` are the numbers that messages call them by.
    """
    places = {text: _place(text, classes) for text in set(labels)}
    found = np.array([places[text] for text in labels], dtype=np.int64)
    missing = np.array([text == "" for text in labels], dtype=bool)
    if missing.any():
        what = f"{quoted(name)} has no value in {counted_rows(rows[missing])}."
        problems.append(Problem(what=what, mend=f"Label or remove them; without {quoted(name)} none needs a label."))
    other = (found < 0) & ~missing
    if other.any():
        unknown = sorted(text for text, place in places.items() if place < 0 and text)
        what = f"{quoted(name)} holds {listed(unknown)} in {counted_rows(rows[other])}, which are no classes of the "
        what += f"bundle: {listed(classes)}."
        problems.append(
            Problem(what=what, mend="Correct or remove these rows, or name the column of labels: --target.")
        )
    return found


def _place(text: str, classes: tuple[str, ...]) -> int:
    if text in classes:
        return classes.index(text)
    as_number, as_truth = _number(text), text.lower() if text.lower() in ("true", "false") else None
    for k, known in enumerate(classes):
        if (as_number is not None and as_number == _number(known)) or (as_truth and as_truth == known.lower()):
            return k
    return -1


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _classes(labels: NDArray[Any], different: NDArray[Any], numeric: bool, form: str) -> Judged:
    classes = tuple(str(int(v)) if numeric else str(v) for v in different)
    target = np.searchsorted(different, labels).astype(np.int64)
    return Judged(kind=_kind(classes), classes=classes, numeric_classes=numeric, target=target, form=form)


def _kind(classes: tuple[str, ...]) -> Kind:
    return Kind.BINARY if len(classes) == 2 else Kind.MULTICLASS


def _form(scores: NDArray[Any]) -> str:
    """'' for probabilities, whose rows sum to one; else LOGITS."""
    sums = np.abs(scores.sum(axis=1) - 1).max(initial=0.0)
    return "" if sums <= _SUM_TOLERANCE and scores.min(initial=0.0) >= 0 else LOGITS
