"""Train: prepared features in; a model as arrays, its predictions on valid and what it cost out."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.devices import peak_memory_bytes
from autoopt.errors import StageFailure
from autoopt.files import StoreEntry, write_json
from autoopt.stages.augmented import save_augmented
from autoopt.stages.parity import require_finite
from autoopt.strategies import artifacts
from autoopt.strategies.model import Artifact, Model, Trained, TrainingContext, TrainingData
from autoopt.values import FailureReason

INFO = "trained.json"
VALID_SCORES = "valid_scores.npy"


@dataclass(frozen=True, kw_only=True)
class TrainedInfo:
    """What is kept of a training beside the model itself."""

    kind: str  # the artifact's: 'trees', 'linear' or 'network'
    train_s: float
    peak_memory_bytes: int  # largest resident set of the process that trained
    notes: tuple[str, ...]
    last_step: int | None  # that the training reported; None when it reported none


def train(model: Model, data: TrainingData[Any], context: TrainingContext, folder: Path) -> None:
    """Train and write artifact, valid scores (rows, classes) or (rows, 1), and `trained.json` into `folder`.

    Raises StageFailure: NOT_FINITE for predictions that are NaN or infinite, whatever the model itself finds else.
    """
    _keep(lambda told: model.train(data, told), data, context, folder, before_s=0.0)


def shrink(model: Model, entry: StoreEntry, data: TrainingData[Any], context: TrainingContext, folder: Path) -> None:
    """Prune or fine-tune what `entry` holds and write the same files; `train_s` is that of both. As `train`."""
    trained = artifact_of(entry)
    before_s = load_info(entry).train_s
    _keep(lambda told: model.shrink(trained, data, told), data, context, folder, before_s=before_s)


def artifact_of(entry: StoreEntry) -> Artifact:
    """The model of an entry, reloaded from its arrays."""
    return artifacts()[load_info(entry).kind].load(entry.path)


def _keep(
    make: Callable[[TrainingContext], Trained],
    data: TrainingData[Any],
    context: TrainingContext,
    folder: Path,
    *,
    before_s: float,
) -> None:
    steps: list[int] = []

    def report(step: int, values: dict[str, float]) -> None:
        steps[:] = [step]
        context.report(step, values)

    began = time.monotonic()
    trained = make(replace(context, report=report))
    train_s = before_s + trained.earlier_s + time.monotonic() - began
    expected = (data.valid.rows, max(len(data.facts.classes), 1))
    if trained.valid_scores.shape != expected:
        message = f"The model gave scores of shape {trained.valid_scores.shape} for valid rows; {expected} was due."
        raise StageFailure(FailureReason.ERROR, message)
    require_finite(trained.valid_scores, "The trained model's predictions")
    trained.artifact.save(folder)
    np.save(folder / VALID_SCORES, trained.valid_scores)
    info = TrainedInfo(
        kind=trained.artifact.kind,
        train_s=train_s,
        peak_memory_bytes=peak_memory_bytes(),
        notes=trained.notes,
        last_step=steps[0] if steps else None,
    )
    write_json(folder / INFO, asdict(info))
    save_augmented(data, context.recipe, context.seed, folder)


def load_info(entry: StoreEntry) -> TrainedInfo:
    """`trained.json` of an entry."""
    raw = json.loads((entry.path / INFO).read_text())
    return TrainedInfo(**{**raw, "notes": tuple(raw["notes"])})


def load_valid_scores(entry: StoreEntry) -> NDArray[np.float64]:
    """Predictions on valid by the trained object itself."""
    scores: NDArray[np.float64] = np.load(entry.path / VALID_SCORES, allow_pickle=False)
    return scores


def weights(entry: StoreEntry) -> Mapping[str, str]:
    """Files that retraining needs, and AUGMENTED: name → absolute path. A network's graph is in the deployed file."""
    names = [name for name in sorted(entry.sha256) if name != VALID_SCORES and not name.endswith(".onnx")]
    return {name: str((entry.path / name).absolute()) for name in names}
