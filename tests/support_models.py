"""Small tasks for the model strategies, made from scikit-learn's sets, and what to run their graphs with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from sklearn import datasets

from autoopt.space.recipe import Recipe
from autoopt.strategies.model import FEATURES, SCORES, Features, Prepared, TableData, Trained, TrainingContext
from autoopt.task.facts import Kind, Modality, TaskFacts
from autoopt.values import Slot

METRICS = {Kind.BINARY: "roc_auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "rmse"}
SETS = {
    Kind.BINARY: datasets.load_breast_cancer,
    Kind.MULTICLASS: datasets.load_digits,
    Kind.REGRESSION: datasets.load_diabetes,
}


@dataclass
class Reports:
    """What a training reported."""

    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __call__(self, step: int, values: dict[str, float]) -> None:
        self.seen.append((step, values))


def facts_of(kind: Kind, classes: int, rows: dict[str, int], metric: str = "") -> TaskFacts:
    metric = metric or METRICS[kind]
    return TaskFacts(
        name="test",
        modality=Modality.TABULAR,
        kind=kind,
        metric=metric,
        metric_direction="minimize" if metric in ("rmse", "mae", "log_loss") else "maximize",
        target="y",
        classes=tuple(f"c{i}" for i in range(classes)),
        numeric_classes=False,
        columns=(),
        rows=rows,
        fingerprint="0" * 64,
    )


def plain(numbers: NDArray[np.float64]) -> Features:
    return Features(numbers=numbers.astype(np.float32), codes=np.zeros((len(numbers), 0), dtype=np.int64))


def training_data(
    kind: Kind,
    numbers: NDArray[np.float64],
    target: NDArray[np.float64] | NDArray[np.int64],
    *,
    classes: int | None = None,
    metric: str = "",
) -> TableData:
    """The first two thirds of the rows are train, the rest valid."""
    if kind.classifies:
        target = target.astype(np.int64)
        classes = int(target.max()) + 1 if classes is None else classes
    else:
        target, classes = target.astype(np.float64), 0
    cut = len(numbers) * 2 // 3
    return TableData(
        facts=facts_of(kind, classes, {"train": cut, "valid": len(numbers) - cut, "test": 0}, metric),
        train=plain(numbers[:cut]),
        train_target=target[:cut],
        valid=plain(numbers[cut:]),
        valid_target=target[cut:],
    )


def sklearn_data(kind: Kind, *, missing: bool = False, rows: int = 450, metric: str = "") -> TableData:
    """breast_cancer, digits or diabetes, shuffled, standardised, with a tenth of the values missing or none."""
    numbers, target = SETS[kind](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(numbers))[:rows]
    numbers, target = numbers[order], target[order]
    numbers = (numbers - numbers.mean(axis=0)) / (numbers.std(axis=0) + 1e-9)
    if missing:
        numbers[np.random.default_rng(1).random(numbers.shape) < 0.1] = np.nan
    classes = len(np.unique(target)) if kind.classifies else None
    return training_data(kind, numbers, target, classes=classes, metric=metric)


def context(reports: Reports | None = None, *, seed: int = 7, threads: int = 1) -> TrainingContext:
    return TrainingContext(
        recipe=Recipe({}), slot=Slot(index=0, threads=threads), seed=seed, report=reports or Reports()
    )


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = session(model).run([SCORES], {FEATURES: numbers})[0]
    return scores


def run_feed(model: onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = session(model).run([SCORES], dict(feed))[0]
    return scores


def graph_error(trained: Trained, data: TableData) -> float:
    """Largest difference of the graph's scores from the trained object's, relative above 1 for values."""
    return graph_error_of(trained, data.valid)


def graph_error_of(trained: Trained, valid: Prepared) -> float:
    """The same for rows of any kind."""
    found = run_feed(trained.artifact.graph(), valid.model_feed(slice(None)))
    scale = np.maximum(np.abs(trained.valid_scores), 1.0)
    return float(np.max(np.abs(found - trained.valid_scores) / scale))
