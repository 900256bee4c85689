"""Tables: fit preprocessing on train, write it as a graph, and keep what that graph makes of train and valid."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

import numpy as np
import onnx

from autoopt.errors import StageFailure
from autoopt.files import write_json
from autoopt.space.recipe import Recipe
from autoopt.stages.parity import FEATURES_TOLERANCE, features_difference
from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.strategies.model import Features
from autoopt.strategies.tables.preprocess import Preprocess, fit_preprocess
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Part
from autoopt.values import FailureReason

GRAPH = "preprocess.onnx"
INFO = "prepared.json"
_PARITY_ROWS = 2000
"""Rows of each part on which the graph is compared: scikit-learn is slow on text, and a wrong graph shows at once."""


@dataclass(frozen=True, kw_only=True)
class PreparedInfo:
    """What is kept of a preprocessing beside its graph and features."""

    feature_names: tuple[str, ...]
    cardinalities: tuple[int, ...]
    parity_rows: int
    parity_max_difference: float  # between graph and scikit-learn, relative above 1


@final
class TablePreparer(Preparer):
    """Columns of numbers and categories."""

    def prepare(self, job: PrepareJob, folder: Path) -> None:
        prepare(job.facts, job.train, job.valid, job.recipe, job.seed, folder)

    def graph(self, folder: Path) -> onnx.ModelProto:
        return onnx.load(folder / GRAPH)

    def load(self, job: LoadJob) -> Features:
        """Memory-mapped; what is written into them stays in this process.

        Not read-only: scikit-learn's trees refuse read-only arrays, and only where values are missing.
        """
        numbers = np.load(job.folder / f"{job.part_name}_numbers.npy", mmap_mode="c", allow_pickle=False)
        codes = np.load(job.folder / f"{job.part_name}_codes.npy", mmap_mode="c", allow_pickle=False)
        return Features(
            numbers=np.asarray(numbers), codes=np.asarray(codes), cardinalities=load_info(job.folder).cardinalities
        )


def prepare(facts: TaskFacts, train: Part, valid: Part, recipe: Recipe, seed: int, folder: Path) -> None:
    """Fit, run the graph over train and valid, compare, and write graph, features and `prepared.json`.

    Raises StageFailure: PARITY when the graph computes something else than scikit-learn on the same rows, NOT_FINITE
    for features that are infinite.
    """
    fitted = fit_preprocess(train, facts, recipe, train.target, seed=seed)
    train_output, valid_output = fitted.transform(train), fitted.transform(valid)
    rows, difference = _compare(fitted, {"train": (train, train_output), "valid": (valid, valid_output)})
    onnx.save(fitted.graph, folder / GRAPH)
    for part, features in (("train", fitted.train_features(train_output)), ("valid", valid_output)):
        infinite = int(np.count_nonzero(np.isinf(features.numbers)))
        if infinite:
            message = f"{infinite} values of the prepared {part} rows are beyond what 32-bit numbers hold."
            raise StageFailure(FailureReason.NOT_FINITE, message)
        np.save(folder / f"{part}_numbers.npy", features.numbers)
        np.save(folder / f"{part}_codes.npy", features.codes)
    info = PreparedInfo(
        feature_names=fitted.feature_names,
        cardinalities=fitted.cardinalities,
        parity_rows=rows,
        parity_max_difference=difference,
    )
    write_json(folder / INFO, asdict(info))


def load_info(folder: Path) -> PreparedInfo:
    """`prepared.json` of an entry's folder."""
    raw = json.loads((folder / INFO).read_text())
    lists = {name: tuple(raw[name]) for name in ("feature_names", "cardinalities")}
    return PreparedInfo(**{**raw, **lists})


def _compare(fitted: Preprocess, parts: Mapping[str, tuple[Part, Features]]) -> tuple[int, float]:
    """(rows compared, largest difference). Raises StageFailure(PARITY)."""
    rows, worst = 0, 0.0
    for name, (part, output) in parts.items():
        chosen = slice(0, _PARITY_ROWS)
        found = Features(numbers=output.numbers[chosen], codes=output.codes[chosen])
        difference = features_difference(fitted.reference(part.take(chosen)), found)
        if not difference <= FEATURES_TOLERANCE:
            raise StageFailure(
                FailureReason.PARITY,
                f"The preprocessing graph differs from scikit-learn by {difference:.2g} on {name} rows; "
                f"{FEATURES_TOLERANCE:g} is allowed. The candidate is discarded.",
            )
        rows, worst = rows + found.rows, max(worst, difference)
    return rows, worst
