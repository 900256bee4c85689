"""Whether a graph computes what it was made from: the gate behind every stage that writes one."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.strategies.model import Features
from autoopt.task.facts import TaskFacts
from autoopt.values import FailureReason

SCORES_TOLERANCE = 1e-4
"""Largest difference of a probability, or of a predicted value as a share of the values' standard deviation."""
FEATURES_TOLERANCE = 1e-4
"""Largest difference of a feature, absolute below 1 and relative above."""
ROUTED_SHARE = 1e-3
"""Share of rows that may differ more: a feature within one rounding step of a threshold falls to the other side."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How two outputs on the same rows compare. `max_abs_difference` is in the scores' own unit."""

    rows: int
    max_abs_difference: float
    tolerance: float
    rows_beyond: int
    label_agreement: float  # share of rows with the same most probable class; 1 for regression within the tolerance
    holds: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_scores(facts: TaskFacts, expected: NDArray[Any], found: NDArray[Any]) -> Parity:
    """Compare scores (rows, classes) or (rows, 1). Raises StageFailure(NOT_FINITE) when `found` is not finite."""
    expected, found = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if found.shape != expected.shape:
        raise StageFailure(
            FailureReason.PARITY, f"The graph gives scores of shape {found.shape}, the model {expected.shape}."
        )
    require_finite(found, "The deployed graph's predictions")
    scale = 1.0 if facts.kind.classifies else (float(np.std(expected)) or 1.0)
    difference = np.abs(expected - found).max(axis=1)
    beyond = int(np.count_nonzero(difference > SCORES_TOLERANCE * scale))
    if facts.kind.classifies:
        agreement = float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))
    else:
        agreement = 1.0 - beyond / max(len(difference), 1)
    return Parity(
        rows=len(difference),
        max_abs_difference=float(difference.max(initial=0.0)),
        tolerance=SCORES_TOLERANCE * scale,
        rows_beyond=beyond,
        label_agreement=agreement,
        holds=beyond <= max(1, int(ROUTED_SHARE * len(difference))),
    )


def require_scores_parity(parity: Parity) -> None:
    """Raise StageFailure(PARITY) when the comparison does not hold."""
    if not parity.holds:
        raise StageFailure(
            FailureReason.PARITY,
            f"The deployed graph does not compute what the trained model computes: {parity.rows_beyond} of "
            f"{parity.rows} rows differ by more than {parity.tolerance:.2g}, the worst by "
            f"{parity.max_abs_difference:.2g}. The candidate is discarded.",
        )


def features_difference(reference: Features, found: Features) -> float:
    """Largest difference of any feature, relative above 1; infinite where NaN, codes or shapes differ."""
    if reference.numbers.shape != found.numbers.shape or not np.array_equal(reference.codes, found.codes):
        return float("inf")
    if not np.array_equal(np.isnan(reference.numbers), np.isnan(found.numbers)):
        return float("inf")
    expected = reference.numbers.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected - found.numbers) / np.maximum(np.abs(expected), 1.0)
    return float(np.nanmax(difference, initial=0.0))


def require_finite(values: NDArray[Any], what: str) -> None:
    """Raise StageFailure(NOT_FINITE) when a value is NaN or infinite."""
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise StageFailure(
            FailureReason.NOT_FINITE, f"{what} hold {bad} values that are NaN or infinite, of {values.size}."
        )
