"""Small tasks, recipes and graphs for the tests of the network."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from support_models import run_feed

from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.model import CODES, FEATURES, Features, TableData, TrainingContext, TrainingData
from autoopt.strategies.networks.learner import Network
from autoopt.task.facts import Kind, Modality, TaskFacts
from autoopt.values import Slot

METRICS = {Kind.BINARY: "roc_auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "rmse"}
CLASSES = {Kind.BINARY: 2, Kind.MULTICLASS: 3, Kind.REGRESSION: 0}
CARDINALITIES = (3, 12, 40)


class PlainRows:
    """Rows of a graph with the input x."""

    def __init__(self, x: NDArray[np.float32]) -> None:
        self._x = x
        self.rows = len(x)

    def model_feed(self, chosen: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        return {"x": self._x[chosen]}


@dataclass
class Reports:
    """What a training reported."""

    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __call__(self, step: int, values: dict[str, float]) -> None:
        self.seen.append((step, values))

    def column(self, name: str) -> list[float]:
        return [values[name] for _, values in self.seen]


def facts_of(kind: Kind, classes: int, metric: str = "") -> TaskFacts:
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
        rows={},
        fingerprint="0" * 64,
    )


def split(facts: TaskFacts, features: Features, target: NDArray[Any]) -> TableData:
    """The first two thirds of the rows are train, the rest valid."""
    cut = features.rows * 2 // 3

    def part(rows: slice) -> Features:
        return Features(
            numbers=features.numbers[rows], codes=features.codes[rows], cardinalities=features.cardinalities
        )

    return TableData(
        facts=facts,
        train=part(slice(0, cut)),
        train_target=target[:cut],
        valid=part(slice(cut, None)),
        valid_target=target[cut:],
    )


def task(kind: Kind, *, rows: int = 240, inputs: int = 5, embed: bool = False, metric: str = "") -> TableData:
    """A self-made task: the target hangs on the numbers and, with `embed`, on the codes."""
    random = np.random.default_rng(3)
    numbers = random.normal(size=(rows, inputs)).astype(np.float32)
    cardinalities = CARDINALITIES if embed else ()
    columns = [random.integers(0, c, rows) for c in cardinalities]
    codes = np.stack(columns, axis=1) if embed else np.zeros((rows, 0), dtype=np.int64)
    value = numbers @ random.normal(size=inputs) + (codes % 2).sum(axis=1)
    target: NDArray[Any] = 1000.0 + 50.0 * value
    if kind.classifies:
        target = np.searchsorted(np.quantile(value, np.linspace(0, 1, CLASSES[kind] + 1)[1:-1]), value).astype(np.int64)
    features = Features(numbers=numbers, codes=codes.astype(np.int64), cardinalities=cardinalities)
    return split(facts_of(kind, CLASSES[kind], metric), features, target)


def digits() -> TableData:
    numbers, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(numbers))
    features = Features(
        numbers=(numbers[order] / 16).astype(np.float32), codes=np.zeros((len(numbers), 0), dtype=np.int64)
    )
    return split(facts_of(Kind.MULTICLASS, 10), features, target[order].astype(np.int64))


def context(
    recipe: dict[str, Value] | None = None, *, reports: Reports | None = None, seed: int = 7, features: str = ""
) -> TrainingContext:
    slot = Slot(index=0, threads=1, features=frozenset(features.split()))
    return TrainingContext(recipe=Recipe(recipe or {}), slot=slot, seed=seed, report=reports or Reports())


def learned_scores(model: Network, data: TrainingData[Any], told: TrainingContext) -> NDArray[np.float32]:
    """Scores of the valid rows after a training of which no graph is made: tracing is most of a short one's time."""
    with model.learning(data, told) as (network, judge, _):
        return judge.scores(network)


def run(model: onnx.ModelProto, features: Features) -> NDArray[np.float32]:
    given: dict[str, NDArray[Any]] = {FEATURES: features.numbers, CODES: features.codes}
    return run_feed(model, {i.name: given[i.name] for i in model.graph.input})


def optimized_ops(model: onnx.ModelProto, folder: Path) -> Counter[str]:
    """The operators that are left after the runtime's own optimization: what really runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
