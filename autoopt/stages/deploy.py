"""Deploy: one file from raw columns to scores, reloaded and compared with the trained model before it counts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt import __version__
from autoopt.errors import StageFailure
from autoopt.files import StoreEntry, write_bytes, write_json
from autoopt.runtime import Runner, as_scores, rows_at_once
from autoopt.space.recipe import Recipe
from autoopt.stages.join import join, pipeline_metadata
from autoopt.stages.judge import relative_loss
from autoopt.stages.parity import Parity, compare_scores, require_scores_parity
from autoopt.stages.predictions import append_prediction
from autoopt.stages.rows import batches
from autoopt.stages.runners import file_name, loaded
from autoopt.strategies.deploying.brought import BroughtArtifact
from autoopt.strategies.deploying.mirror import Mirror
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import Artifact, Prepared
from autoopt.strategies.networks.untraced import UntracedArtifact
from autoopt.strategies.tables.preprocess import Target
from autoopt.strategies.trees.packed import packed_bytes
from autoopt.task.facts import TaskFacts
from autoopt.task.scoring import score
from autoopt.task.snapshot import Part
from autoopt.values import FailureReason

INFO = "deployed.json"
VALID_SCORES = "valid_scores.npy"
LOSSLESS = ("none", "compact")
"""Forms of `quantize` that promise the trained model's own predictions; of the others, the quality is measured."""
PACKED = ("compact", "trimmed")
"""Forms whose files are mostly lists of numbers."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is done to a trained model's graph on its way into the file."""

    quantize: Quantize
    mirror: Mirror

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        return cls(quantize=Quantize.from_recipe(recipe), mirror=Mirror.from_recipe(recipe))

    @property
    def lossless(self) -> bool:
        """Whether the file promises the trained model's own predictions; else its quality is measured anew."""
        return self.quantize.form in LOSSLESS and not self.mirror.on

    def apply(self, artifact: Artifact, calibration: Prepared) -> onnx.ModelProto:
        """The model's graph as it is deployed. Raises StageFailure when the form does not fit the artifact."""
        return self.mirror.apply(self.quantize.apply(artifact, calibration))


@dataclass(frozen=True, kw_only=True)
class DeployedInfo:
    """What is kept of a deployed graph beside its file. The training's figures are copied: they outlive its entry."""

    quantize: str
    train_s: float
    peak_memory_bytes: int
    notes: tuple[str, ...]
    parity: Mapping[str, Any]  # Parity.to_json() against the trained model on valid
    quality_drop: float | None = None  # against the trained model on valid, in percent; None where it is undefined


def whole_graph(
    facts: TaskFacts, prepare: onnx.ModelProto | None, artifact: Artifact, form: Form, calibration: Prepared
) -> bytes:
    """The bytes of the file to deploy: the same ones each time. Raises StageFailure when there can be no such graph."""
    if isinstance(artifact, BroughtArtifact):
        return _of_brought(artifact, form, calibration)
    if isinstance(artifact, UntracedArtifact):
        if not form.lossless:
            raise StageFailure(FailureReason.ERROR, f"it cannot be made smaller: {artifact.reason}")
        return artifact.content()
    model = form.apply(artifact, calibration)
    try:
        joined = join(
            prepare, model, pipeline_metadata(facts, __version__), lambda graph: append_prediction(graph, facts)
        )
    except onnx.checker.ValidationError as error:
        message = f"The graph of the whole pipeline is not valid ONNX: {str(error).splitlines()[0]}."
        raise StageFailure(FailureReason.ERROR, message) from error
    if form.quantize.form in PACKED:
        return packed_bytes(joined)
    content: bytes = joined.SerializeToString(deterministic=True)
    return content


def _of_brought(artifact: BroughtArtifact, form: Form, calibration: Prepared) -> bytes:
    """The user's file itself, or what is made of it: with the same inputs and outputs."""
    if form.quantize.form == "none":
        return artifact.content
    pipeline = artifact.pipeline()
    rows = pipeline.rows(calibration)
    half = BroughtArtifact(content=pipeline.model(rows).SerializeToString())
    model = artifact.drop_in(pipeline.joined(form.quantize.apply(half, rows)))
    if form.quantize.form in PACKED:
        return packed_bytes(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def score_rows(session: Runner, facts: TaskFacts, part: Part) -> NDArray[np.float32]:
    """Scores (rows, classes) or (rows, 1) of a whole part by a loaded graph."""
    row_bytes = sum(values[:1].nbytes for values in part.tensors)
    batch = rows_at_once(texts=bool(facts.text_columns), row_bytes=row_bytes)
    form = "" if facts.graph is None else facts.graph.form
    found = [as_scores(session.run(feed), form) for feed in batches(facts, part, batch)]
    return np.concatenate(found) if found else np.zeros((0, max(len(facts.classes), 1)), dtype=np.float32)


def deploy(
    content: bytes,
    facts: TaskFacts,
    valid: Part,
    trained_scores: NDArray[np.float64],
    form: Form,
    folder: Path,
) -> Parity:
    """Write `model.onnx`, or `model.safetensors` of what cannot be traced, and `valid_scores.npy`.

    The scores are the reloaded file's predictions on raw valid rows.

    Raises StageFailure: PARITY when a lossless form gives other predictions than the trained model, NOT_FINITE.
    """
    path = folder / file_name(content)
    write_bytes(path, content)
    scores = score_rows(loaded(path.read_bytes(), facts), facts, valid)
    parity = compare_scores(facts, trained_scores, scores)
    if form.lossless:
        require_scores_parity(parity)
    np.save(folder / VALID_SCORES, scores)
    return parity


def parity_notes(parity: Parity, form: Form) -> tuple[str, ...]:
    """What is to be said of a lossless form that holds, but not for every row."""
    if not form.lossless or parity.rows_beyond == 0:
        return ()
    note = (
        f"{parity.rows_beyond} of {parity.rows} valid rows differ from the trained model by up to "
        f"{parity.max_abs_difference:.2g}: a feature lies within one rounding step of a threshold"
    )
    return (note,)


def quality(facts: TaskFacts, target: Target, scores: NDArray[Any]) -> float:
    """The task's metric. Raises StageFailure(NOT_FINITE) where it is undefined or the scores are not finite."""
    value = score(facts.metric, facts, target, scores)
    if not np.isfinite(value):
        message = f"{facts.metric} is undefined for these predictions (it came out as {value})."
        raise StageFailure(FailureReason.NOT_FINITE, message)
    return value


def quality_drop(facts: TaskFacts, target: Target, trained_scores: NDArray[np.float64], folder: Path) -> float | None:
    """How much worse the file in `folder` is than what it was made of: percent of that one's metric on valid.

    None where there is no such share.
    """
    scores = np.load(folder / VALID_SCORES, allow_pickle=False)
    expected, found = (score(facts.metric, facts, target, s) for s in (trained_scores, scores))
    drop = 100 * relative_loss(facts, expected, found)
    return drop if np.isfinite(drop) else None


def save_info(info: DeployedInfo, folder: Path) -> None:
    """Write `deployed.json`."""
    write_json(folder / INFO, asdict(info))


def load_info(entry: StoreEntry) -> DeployedInfo:
    """`deployed.json` of an entry."""
    raw = json.loads((entry.path / INFO).read_text())
    return DeployedInfo(**{**raw, "notes": tuple(raw["notes"])})


def load_valid_scores(entry: StoreEntry) -> NDArray[np.float32]:
    """The deployed file's predictions on valid."""
    scores: NDArray[np.float32] = np.load(entry.path / VALID_SCORES, allow_pickle=False)
    return scores
