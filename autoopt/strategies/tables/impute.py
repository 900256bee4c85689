"""Fill the gaps of number columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import Stage, Strategy, choice
from autoopt.strategies.graph import GraphBuilder
from autoopt.task.facts import Role, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:
    from sklearn.impute import SimpleImputer

NATIVE = "native"
LARGEST_FITTED = 1e290
"""Larger numbers count as this when something is fitted: sums over the rows would overflow."""


@final
@dataclass(frozen=True, kw_only=True)
class Impute(Strategy):
    """What stands in for a number that is missing.

    What: `median`, `mean` or `most_frequent` value of the column in the training part; `native` leaves the gap as NaN
    for models that split on it themselves (LightGBM, scikit-learn's trees). `indicator` adds a 0/1 column for each
    column that had gaps in training. A column without any value in training is filled with 0. Missing text is no
    matter of this strategy: it is a category of its own, always.
    Helps: `native` wherever the model takes it; `median` for skewed columns; `indicator` where a gap itself tells
    something (a question not answered, a test not made).
    Ranges: names only. Units: none.
    Reference: Little & Rubin, Statistical Analysis with Missing Data; Josse et al. 2019, arXiv:1902.06931 (indicator).
    """

    name: ClassVar[str] = "impute"
    stage: ClassVar[Stage] = "prepare"

    impute: str = choice("median", "mean", "most_frequent", NATIVE, main=True, help="stand-in for a missing number")
    indicator: bool = choice(False, True, help="add a 0/1 column for each column with gaps")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if any(c.used and c.missing and c.role in (Role.NUMBER, Role.BOOLEAN) for c in task.columns):
            return None
        return "no number column has a missing value"


@final
@dataclass(frozen=True, kw_only=True)
class Imputation:
    """A fitted imputation of k number columns."""

    imputer: "SimpleImputer | None"  # None: gaps stay
    gaps: tuple[int, ...]  # positions of the columns that get an indicator

    def reference(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filled numbers (rows, k), by scikit-learn."""
        if self.imputer is None:
            return numbers
        filled: NDArray[np.float64] = self.imputer.transform(numbers)
        return filled

    def indicators(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """1 where a number is missing (rows, columns with gaps)."""
        return np.isnan(numbers[:, list(self.gaps)]).astype(np.float32)

    def emit(self, graph: GraphBuilder, numbers: str) -> tuple[str, str | None]:
        """Names of the filled numbers, double (rows, k), and of the indicators, float32, or None without any."""
        if self.imputer is None and not self.gaps:
            return numbers, None
        missing = graph.add("IsNaN", numbers)
        filled, indicators = numbers, None
        if self.imputer is not None:
            fill = graph.constant(self.imputer.statistics_[None, :], np.float64, name="fill")
            filled = graph.add("Where", missing, fill, numbers)
        if self.gaps:
            chosen = graph.add("Gather", missing, graph.constant(self.gaps, np.int64, name="gaps"), axis=1)
            indicators = graph.add("Cast", chosen, to=1)
        return filled, indicators


def fit_impute(config: Impute, numbers: NDArray[np.float64]) -> Imputation:
    """Fit on the training part: numbers (rows, k), k at least 1, NaN where missing."""
    imputer = None
    if config.impute != NATIVE:
        from sklearn.impute import SimpleImputer  # here: the catalogue is read by processes that fit nothing

        imputer = SimpleImputer(strategy=config.impute, keep_empty_features=True)
        imputer.fit(np.clip(numbers, -LARGEST_FITTED, LARGEST_FITTED))
    gaps = np.flatnonzero(np.isnan(numbers).any(axis=0)) if config.indicator else ()
    return Imputation(imputer=imputer, gaps=tuple(int(g) for g in gaps))
