"""Bring number columns to a common scale."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import Stage, Strategy, choice
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.tables.impute import LARGEST_FITTED
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

LOG_STANDARD = "log_standard"
LARGEST_UNSCALED = 1e30  # float32 ends at 3.4e38; sums and squares of what is let through must not reach it too easily
LARGEST_SCALED = 1e15
_LARGEST_DOUBLE = float(np.finfo(np.float64).max)
_LEAST_CENTER = float(np.finfo(np.float32).tiny)  # onnxruntime drops the subtraction of what float32 takes for 0
_LOG_SPREAD = 1e-9  # of the logs' size: below it rounding is what would be learned, and the column has no heavy tail


@final
@dataclass(frozen=True, kw_only=True)
class Scale(Strategy):
    """How number columns are centred and stretched.

    What: `standard` subtracts the mean and divides by the standard deviation; `none` leaves the numbers; `minmax`
    maps the training range to 0..1; `robust` subtracts the median and divides by the interquartile range (by the
    standard deviation where that range is 0); `log_standard` takes sign(x)·log(1+|x|) first, for heavy tails such as
    incomes and counts. Columns that are constant in training become 0. Computed in double, given out as float32,
    bounded to ±1e15 (`none`: ±1e30).
    Helps: networks, linear models and SVMs need it, trees do not care: `none` is the cheapest for them.
    Ranges: names only. Units: none.
    Reference: LeCun et al. 1998, Efficient BackProp, §4.3; scikit-learn's StandardScaler, RobustScaler, MinMaxScaler.
    """

    name: ClassVar[str] = "scale"
    stage: ClassVar[Stage] = "prepare"

    scale: str = choice("standard", "none", "minmax", "robust", LOG_STANDARD, main=True, help="scaling of numbers")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.number_columns else "the data have no number column"


@final
@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A fitted scaling of k number columns: (f(x) - center) / width, f a log where `logs` says so.

    A width of infinity makes a column 0. Center and width come from scikit-learn's scalers; subtracting before
    dividing keeps the differences of large integers, which x·scale + min would round away.
    """

    logs: NDArray[np.bool_] | None  # (k,); None when no column is logged
    center: NDArray[np.float64] | None  # (k,); None: not scaled
    width: NDArray[np.float64]  # (k,)

    @property
    def largest(self) -> float:
        """Bound of the absolute value of what comes out."""
        return LARGEST_UNSCALED if self.center is None else LARGEST_SCALED

    @property
    def constants(self) -> bool:
        """Whether a column was constant; an infinite value there would be infinity over infinity, so it is bounded."""
        return bool(np.isinf(self.width).any())

    def reference(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scaled numbers (rows, k)."""
        scaled = numbers
        if self.logs is not None:
            scaled = np.where(self.logs, signed_log(numbers), numbers)
        if self.center is not None:
            scaled = np.clip(scaled, -_LARGEST_DOUBLE, _LARGEST_DOUBLE) if self.constants else scaled
            with np.errstate(over="ignore"):  # beyond double: infinite, then bounded
                scaled = (scaled - self.center) / self.width
        return np.clip(scaled, -self.largest, self.largest).astype(np.float32)

    def emit(self, graph: GraphBuilder, numbers: str) -> str:
        """Name of the scaled numbers, float32 (rows, k), from double (rows, k)."""
        scaled = numbers
        if self.logs is not None:
            one = graph.constant(1.0, np.float64, name="one")
            size = graph.add("Log", graph.add("Add", graph.add("Abs", numbers), one))
            scaled = graph.add("Mul", graph.add("Sign", numbers), size)
            if not self.logs.all():
                scaled = graph.add("Where", graph.constant(self.logs[None, :], name="logs"), scaled, numbers)
        if self.center is not None:
            scaled = _clip(graph, scaled, _LARGEST_DOUBLE) if self.constants else scaled
            scaled = graph.add("Sub", scaled, graph.constant(self.center[None, :], name="center"))
            scaled = graph.add("Div", scaled, graph.constant(self.width[None, :], name="width"))
        return graph.add("Cast", _clip(graph, scaled, self.largest), to=1)


def fit_scale(config: Scale, numbers: NDArray[np.float64]) -> Scaling:
    """Fit on the training part: numbers (rows, k), k at least 1; NaN (a gap that stays) counts nowhere."""
    width = np.ones(numbers.shape[1])
    if config.scale == "none":
        return Scaling(logs=None, center=None, width=width)
    logs = None
    if config.scale == LOG_STANDARD:
        logged = signed_log(numbers)
        low, high = _ranges(logged)
        logs = (high - low) > _LOG_SPREAD * np.maximum(np.abs(low), np.abs(high))
        numbers = np.where(logs, logged, numbers)
    center, width = _center_and_width(config.scale, numbers)
    center = np.where(np.abs(center) < _LEAST_CENTER, 0.0, center)
    return Scaling(logs=logs if logs is not None and logs.any() else None, center=center, width=width)


def _clip(graph: GraphBuilder, value: str, largest: float) -> str:
    low = graph.constant(-largest, np.float64, name="low")
    return graph.add("Clip", value, low, graph.constant(largest, np.float64, name="high"))


def signed_log(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(x)·log(1+|x|); log(1+x) and not log1p, because the graph has only the former."""
    logged: NDArray[np.float64] = np.sign(numbers) * np.log(1.0 + np.abs(numbers))
    return logged


def _center_and_width(method: str, numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By scikit-learn's scalers on columns shifted and stretched into -1..1: a column of huge or tiny numbers, or of
    large integers close together, would overflow or pass for constant there."""
    numbers = np.clip(numbers, -LARGEST_FITTED, LARGEST_FITTED)
    low, high = _ranges(numbers)
    pivot = low / 2 + high / 2
    constant = ~(low < high)
    exponent = np.frexp(np.where(constant, 1.0, np.maximum(high - pivot, pivot - low)))[1]
    shifted = np.where(constant, 0.0, np.ldexp(numbers - pivot, -exponent))  # NaN stays where it is not constant
    center, width = _scalers(method, shifted)
    return (
        np.where(constant, 0.0, pivot + np.ldexp(center, exponent)),
        np.where(constant, np.inf, np.ldexp(width, exponent)),
    )


def _scalers(method: str, numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.preprocessing import (  # here: the catalogue is read by processes that fit nothing
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    )

    if method == "minmax":
        minmax = MinMaxScaler().fit(numbers)
        return minmax.data_min_, minmax.data_range_
    standard = StandardScaler().fit(numbers)
    if method != "robust":
        return standard.mean_, standard.scale_
    robust = RobustScaler().fit(numbers)
    low, high = np.nanpercentile(numbers, [25.0, 75.0], axis=0)
    return robust.center_, np.where(high > low, robust.scale_, standard.scale_)


def _ranges(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest number of each column (k,); 0 and 0 where there is none."""
    low = np.min(np.where(np.isnan(numbers), np.inf, numbers), axis=0)
    high = np.max(np.where(np.isnan(numbers), -np.inf, numbers), axis=0)
    empty = ~np.isfinite(low)
    return np.where(empty, 0.0, low), np.where(empty, 0.0, high)
