"""What models of plain numbers ask of their data, checked before anything is trained."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.strategies.model import StepReport, TableData, TrainingData
from autoopt.task.scoring import score
from autoopt.values import FailureReason


def check_plain(data: TableData, model: str, *, missing: bool) -> None:
    """Raise StageFailure when there are codes, no feature at all, or NaN where `missing` does not allow it."""
    if data.train.codes.shape[1]:
        raise StageFailure(
            FailureReason.ERROR,
            f"model: {model} takes numbers only, and encode: embed left {data.train.codes.shape[1]} columns of codes. "
            "Use another encode.",
        )
    if not data.train.numbers.shape[1]:
        raise StageFailure(FailureReason.ERROR, f"model: {model} was given no feature to learn from.")
    for part, features in (("train", data.train), ("valid", data.valid)):
        count = 0 if missing else int(np.isnan(features.numbers).sum())
        if count:
            raise StageFailure(
                FailureReason.ERROR,
                f"model: {model} takes no missing values, and the {part} features hold {count}. "
                "Use an impute that fills them, not impute: native.",
            )


def report_quality(report: StepReport, step: int, data: TrainingData[Any], scores: NDArray[np.float64]) -> None:
    """Report the task's metric on valid, left out where it is undefined (ROC AUC of one class)."""
    quality = score(data.facts.metric, data.facts, data.valid_target, scores)
    report(step, {"valid": quality} if np.isfinite(quality) else {})
