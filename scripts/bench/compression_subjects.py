"""What compression.py compresses: trained networks with their rows, and trees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lab import Lab
from numpy.typing import NDArray

from autoopt.app.twin_ladder import rungs_of
from autoopt.runtime import Session
from autoopt.space import Recipe
from autoopt.stages import deploy
from autoopt.stages.flow import Flow
from autoopt.stages.preparing import PREPARERS
from autoopt.stages.rows import feed_of
from autoopt.stages.runners import GRAPH
from autoopt.strategies import models
from autoopt.strategies.model import TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.learner import Network, target_moments
from autoopt.strategies.networks.scored import Scored
from autoopt.strategies.shrinking.widths import rebuilt
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.packed import packed_bytes
from autoopt.task import score
from autoopt.task.spreading import spread_rows

CALIBRATION_ROWS = 1024
Feed = Mapping[str, NDArray[Any]]
ADAMW = {"optimizer": "adamw", "optimizer.weight_decay": 0.01}
CNN = {
    "model": "residual_net",
    "residual_net.width": 24,
    "residual_net.epochs": 12,
    "augment": "flip_crop",
    "batch_size": 128,
    "loss.label_smoothing": 0.1,
    "optimizer": "sgd",
    "optimizer.learning_rate": 0.1,
    "optimizer.weight_decay": 5e-4,
    "optimizer.nesterov": True,
    "schedule": "one_cycle",
    "progressive_resizing": "half",
    "precision": "bf16",
}
TEXT_CNN = ADAMW | {
    "model": "text_cnn",
    "text_cnn.width": 96,
    "text_cnn.embedding": 96,
    "text_cnn.epochs": 3,
    "optimizer.learning_rate": 0.003,
    "schedule": "one_cycle",
    "batch_size": 64,
}
TRANSFORMER = ADAMW | {
    "model": "text_transformer",
    "text_transformer.width": 128,
    "text_transformer.depth": 2,
    "text_transformer.epochs": 3,
    "optimizer.learning_rate": 0.001,
    "schedule": "one_cycle",
    "batch_size": 64,
}
MLP = ADAMW | {
    "model": "mlp",
    "encode": "one_hot",
    "scale": "standard",
    "mlp.width": 512,
    "mlp.depth": 3,
    "mlp.epochs": 8,
    "optimizer.learning_rate": 0.003,
    "schedule": "one_cycle",
    "batch_size": 256,
}
LIGHTGBM = {
    "model": "lightgbm",
    "impute": "native",
    "scale": "none",
    "lightgbm.n_trees": 200,
    "lightgbm.num_leaves": 31,
}


@dataclass(frozen=True, kw_only=True)
class JudgedLab(Lab):
    """Where what is made of a model is judged by rows that nothing was chosen by."""

    def quality(self, scores: NDArray[Any]) -> float:
        """On the test part: no choice was made by it."""
        facts = self.snapshot.facts
        return score(facts.metric, facts, self.snapshot.part("test").target, scores)

    def features(self, flow: Flow, inputs: Sequence[str], part: str) -> dict[str, NDArray[Any]]:
        """Rows of a part as the model's own graph takes them."""
        facts = self.snapshot.facts
        feed = feed_of(facts, self.snapshot.part(part))
        prepare = PREPARERS[facts.modality].graph(flow.prepared().path)
        found = feed if prepare is None else Session(prepare.SerializeToString()).run_all(feed)
        return {name: found[name] for name in inputs}


@dataclass(frozen=True, kw_only=True)
class NetworkSubject:
    """A trained network: its float graph, rows of its own inputs, and its twin as an export would choose it."""

    title: str
    lab: JudgedLab
    graph: bytes
    twin: bytes
    twin_form: str
    pipeline_bytes: tuple[int, int]  # float, twin
    calibration: Feed
    valid: Feed
    test: Feed
    eager: Any  # the torch network, giving scores; None for the networks of tables, whose graphs torch has no part in


def network(title: str, lab: JudgedLab, recipe: Mapping[str, Any]) -> NetworkSubject:
    """Train it, and climb the ladder of twins until one loses no more than half a per cent on valid."""
    flow = lab.flow(recipe)
    graph = flow.artifact().graph()
    twin, form = _twin(lab, flow, recipe)
    inputs = [value.name for value in graph.graph.input]
    calibration = flow.part("train")
    rows = calibration.model_feed(spread_rows(calibration.rows, CALIBRATION_ROWS))
    small = twin.form.quantize.apply(twin.artifact(), calibration)
    return NetworkSubject(
        title=title,
        lab=lab,
        graph=graph.SerializeToString(),
        twin=small.SerializeToString(),
        twin_form=form,
        pipeline_bytes=(_size(flow), _size(twin)),
        calibration={name: np.ascontiguousarray(rows[name]) for name in inputs},
        valid=lab.features(flow, inputs, "valid"),
        test=lab.features(flow, inputs, "test"),
        eager=_eager(lab, flow, recipe),
    )


def _twin(lab: JudgedLab, flow: Flow, recipe: Mapping[str, Any]) -> tuple[Flow, str]:
    facts, target = lab.snapshot.facts, lab.snapshot.part("valid").target

    def quality(one: Flow) -> float:
        return score(facts.metric, facts, target, deploy.load_valid_scores(one.deployed()))

    wanted = 0.995 * quality(flow)
    for rung in rungs_of(Recipe(recipe)):
        twin = lab.flow({**recipe, **rung})
        if quality(twin) >= wanted:
            return twin, ", ".join(str(value) for value in rung.values())
    raise SystemExit(f"{facts.name}: no twin keeps {wanted:.4f} of {facts.metric} on valid")


def _size(flow: Flow) -> int:
    return (flow.deployed().path / GRAPH).stat().st_size


def _eager(lab: JudgedLab, flow: Flow, recipe: Mapping[str, Any]) -> Any:
    model = models()[str(recipe["model"])].from_recipe(Recipe(recipe))
    artifact, parts = flow.artifact(), lab.snapshot
    data = TrainingData(
        facts=parts.facts,
        train=flow.part("train"),
        train_target=parts.part("train").target,
        valid=flow.part("valid"),
        valid_target=parts.part("valid").target,
    )
    if not isinstance(model, Network) or not isinstance(artifact, ExportedArtifact):
        return None
    network = rebuilt(model.build(data), artifact.weights)
    return Scored(network, data.facts.kind.classifies, *target_moments(data)).eval()


@dataclass(frozen=True, kw_only=True)
class TreesSubject:
    """Trained trees: LightGBM's own text, our encodings, and rows of their features."""

    title: str
    lab: JudgedLab
    text: str
    forms: Mapping[str, bytes]
    test: Feed


def trees(title: str, lab: JudgedLab, forms: Mapping[str, Mapping[str, Any]]) -> TreesSubject:
    """LightGBM, 200 trees of 31 leaves, in each form of `quantize`."""
    flow = lab.flow(LIGHTGBM)
    artifact, calibration = flow.artifact(), flow.part("train")
    if not isinstance(artifact, TreesArtifact):
        raise TypeError(f"{title}: not trees")
    quantized = {name: lab.flow({**LIGHTGBM, **form}).form.quantize for name, form in forms.items()}
    made = {name: packed_bytes(form.apply(artifact, calibration)) for name, form in quantized.items()}
    return TreesSubject(
        title=title, lab=lab, text=artifact.text, forms=made, test=lab.features(flow, ["features"], "test")
    )
