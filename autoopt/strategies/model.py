"""What the model strategies share: the features they learn from and the artifacts they leave.

An artifact is arrays and JSON, never a pickle: enough to write the model as an ONNX graph, in another process and years
later. Predictions of the trained object itself are taken at training time, as the truth that every graph is held to.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.space.recipe import Recipe
from autoopt.strategies.base import Stage, Strategy
from autoopt.strategies.learning.ranks import Ranks
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import FailureReason, Slot

OPSET = 18
ML_OPSET = 5
IR_VERSION = 10
FEATURES = "features"
"""Graph input of every model: float32 (rows, n)."""
CODES = "codes"
"""Second graph input of a model with embeddings: int64 (rows, m); 0 is missing or unseen."""
SCORES = "scores"
"""Graph output of every model: float32 (rows, classes) probabilities, or (rows, 1) predicted values."""


class Prepared(ABC):
    """Rows as a model learns from them: what the stage `prepare` left of one part."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many."""

    @abstractmethod
    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        """The chosen rows as inputs of the model's own graph (not of the whole pipeline's)."""

    def first(self, rows: int) -> Self:
        """The first rows alone where they can be had apart, else all: a sample to measure speed on."""
        return self


@dataclass(frozen=True, kw_only=True)
class Features(Prepared):
    """Prepared rows of a table: what the preprocessing graph gave."""

    numbers: NDArray[np.float32]  # (rows, n); NaN only with `impute: native`
    codes: NDArray[np.int64]  # (rows, m); m is 0 unless `encode: embed`
    cardinalities: tuple[int, ...] = ()  # for each code column, how many codes there are, 0 (missing, unseen) included

    @property
    def rows(self) -> int:
        return int(self.numbers.shape[0])

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {FEATURES: np.ascontiguousarray(self.numbers[chosen])}
        if self.cardinalities:
            found[CODES] = np.ascontiguousarray(self.codes[chosen])
        return found


P = TypeVar("P", bound=Prepared)


@dataclass(frozen=True, kw_only=True)
class TrainingData(Generic[P]):
    """What a model learns from. Targets: int64 class indices (rows,), or float64 values (rows,)."""

    facts: TaskFacts
    train: P
    train_target: NDArray[np.int64] | NDArray[np.float64]
    valid: P
    valid_target: NDArray[np.int64] | NDArray[np.float64]
    shares: NDArray[np.float32] | None = None  # of classes (rows, classes), where training learns from a teacher too
    pretrained: Path | None = None  # what came trained: the weights that a backbone begins with, or the user's graph


TableData = TrainingData[Features]
"""What the models of tables learn from."""


StepReport = Callable[[int, dict[str, float]], None]
"""`report(step, values)`: called at least once an epoch or every few trees; moves the progress deadline."""


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Where and how a training runs."""

    recipe: Recipe
    slot: Slot
    seed: int
    report: StepReport
    checkpoints: Path | None = None  # a folder of this training's own, kept over crashes; None: it is not kept
    limit_s: float | None = None  # how long the training may take; networks then plan for fewer epochs
    least_share: float = 0.0  # of the planned epochs that must fit into the limit, else it is given up
    store: Store | None = None  # keeps what serves several trainings: storage forms, verdicts of probes
    prepared_key: str = ""  # of what is learned from, in that store
    ranks: Ranks = field(default_factory=Ranks)  # the processes that this training is shared with

    def since(self, began: float) -> "TrainingContext":
        """With what was spent since `began` (time.monotonic) taken off the limit; a second is always left."""
        if self.limit_s is None:
            return self
        return replace(self, limit_s=max(self.limit_s - (time.monotonic() - began), 1.0))


class Artifact(ABC):
    """A trained model as arrays."""

    kind: ClassVar[str]
    """'trees', 'linear', 'network', 'exported' or 'brought': what a store entry says it holds."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the arrays (safetensors, LightGBM text) and a JSON of the rest into `folder`."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; nothing of it is executed."""

    @abstractmethod
    def graph(self) -> onnx.ModelProto:
        """The model as a float graph: FEATURES (and CODES) in, SCORES out; first dimension free."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training gives back."""

    artifact: Artifact
    valid_scores: NDArray[np.float64]  # (rows, classes) or (rows, 1), by the trained object itself, not by a graph
    notes: tuple[str, ...] = ()
    earlier_s: float = 0.0  # that processes before this one spent on it: it went on from what they had kept


@dataclass(frozen=True, kw_only=True)
class Model(Strategy):
    """An option of the `model` dimension."""

    stage: ClassVar[Stage] = "train"
    family: ClassVar[str | None] = "model"
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.TABULAR,)
    """What it learns from."""
    learns_in_steps: ClassVar[bool] = False
    """Whether it is a network, trained by the one loop: what NETWORKS stands for."""
    convolves: ClassVar[bool] = False
    """Whether most of it is convolutions: how it can be quantized hangs on that."""
    any_size: ClassVar[bool] = False
    """Whether it is a network that takes images of any size, and not only of that which it is built for."""
    counts_ngrams: ClassVar[bool] = False
    """Of a model of texts: whether it reads n-gram counts (`prepared.Counts`), and not tokens (`prepared.Tokens`)."""
    artifact_kind: ClassVar[str]
    """`kind` of the artifacts that `train` leaves: what can be done with them after training hangs on it."""

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality in cls.modalities:
            return None
        return f"it learns from {' and '.join(cls.modalities)} data, and this task is {task.modality}"

    @abstractmethod
    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        """Fit on train, with valid for early stopping. Raises StageFailure when it cannot be done."""

    def follow(self, data: TrainingData[Any], context: TrainingContext) -> None:
        """Take part in a training that another of `context.ranks` leads, and keep nothing. Raises StageFailure."""
        raise StageFailure(FailureReason.ERROR, f"a model of kind {self.name} learns in one process: set parallel=none")

    def shrink(self, artifact: Artifact, data: TrainingData[Any], context: TrainingContext) -> Trained:
        """Prune a trained artifact or make it used to int8, by the recipe. Raises StageFailure where it cannot be."""
        message = f"a model of kind {self.name} can be neither pruned nor fine-tuned: set prune: none and qat: false"
        raise StageFailure(FailureReason.ERROR, message)

    def untrained(self, data: TrainingData[Any], context: TrainingContext) -> Artifact | None:
        """The same shape with random weights where size and latency hang on the shape alone; else None."""
        return None
