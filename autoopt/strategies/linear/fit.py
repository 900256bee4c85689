"""What the linear strategies share: features on a scale that solvers converge on, and folding that scale back."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.strategies.model import TrainingData
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

Floats = NDArray[np.float64]
ABSENT_LOGIT = -1e4
"""Intercept of a class that train does not hold, before a softmax: its probability is 0."""
_LARGEST = 10.0  # features within these magnitudes are on a fit scale already: one-hot columns keep their meaning
_SMALLEST = 0.1
_FAR = 100.0  # means of more standard deviations than this lose digits in a float32 product: they are taken off first


@dataclass(frozen=True, kw_only=True)
class FeatureScale:
    """How features are brought to a common scale for the solver."""

    mean: Floats  # (features,)
    unit: Floats  # (features,)
    centre: NDArray[np.float32]  # (features,): what the graph takes off first

    @classmethod
    def of(cls, numbers: NDArray[np.float32]) -> "FeatureScale":
        """Scale features that are far from magnitude 1 and leave the others alone."""
        wide = numbers.astype(np.float64)
        largest = np.abs(wide).max(axis=0)
        fit = ((largest <= _LARGEST) & (largest >= _SMALLEST)) | (largest == 0)
        deviation = wide.std(axis=0)
        unit = np.where(fit | (deviation == 0), 1.0, deviation)
        mean = np.where(fit, 0.0, wide.mean(axis=0))
        far = np.abs(mean) > _FAR * unit
        return cls(mean=mean, unit=unit, centre=np.where(far, mean, 0.0).astype(np.float32))

    def scaled(self, numbers: NDArray[np.float32]) -> Floats:
        """(rows, features) for the solver."""
        return (numbers.astype(np.float64) - self.mean) / self.unit

    def folded(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Coefficients (features, outputs) and intercept for `features - centre`, from those for `scaled`."""
        own = coef / self.unit[:, None]
        return own, intercept - (self.mean - self.centre) @ own


@dataclass(frozen=True, kw_only=True)
class TargetScale:
    """A value target in units of its standard deviation about its mean: C and tolerances mean the same everywhere."""

    mean: float
    unit: float

    @classmethod
    def of(cls, target: NDArray[Any]) -> "TargetScale":
        return cls(mean=float(np.mean(target)), unit=float(np.std(target)) or 1.0)

    def scaled(self, target: NDArray[Any]) -> Floats:
        return np.asarray((target - self.mean) / self.unit, dtype=np.float64)

    def restored(self, values: Floats) -> Floats:
        return np.asarray(values * self.unit + self.mean)


def present_classes(data: TrainingData[Any], model: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(classes in train, train target numbered without gaps). Raises StageFailure when there is one class only."""
    present, target = np.unique(np.asarray(data.train_target, dtype=np.int64), return_inverse=True)
    if len(present) < 2:
        raise StageFailure(FailureReason.ERROR, f"model: {model} needs rows of two classes in train, and there is one.")
    return present, target


def spread(values: Floats, present: NDArray[np.int64], columns: int, fill: float) -> Floats:
    """(..., present) → (..., columns): `fill` where a class is not in train."""
    wide = np.full((*values.shape[:-1], columns), fill)
    wide[..., present] = values
    return wide


def is_regression(data: TrainingData[Any]) -> bool:
    return data.facts.kind is Kind.REGRESSION


@contextlib.contextmanager
def noting_convergence(notes: list[str], model: str) -> Iterator[None]:
    """Turn a solver's warning that it did not converge into a note, and keep every warning off the screen."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    if any(issubclass(w.category, ConvergenceWarning) for w in caught):
        note = f"{model}: the solver stopped before it had converged; a smaller C or scaled features converge faster"
        if note not in notes:
            notes.append(note)
