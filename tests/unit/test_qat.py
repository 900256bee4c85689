"""Fine-tuning in int8: it imitates what will be deployed, mends what int8 costs, and leaves nothing of itself."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from support_learning import CutOff, CutOffError
from support_models import run_feed
from support_network import Reports, context, digits, run, task
from support_squares import squares
from support_stages import Place, make_place, mixed_frame, recipe_of
from support_texts import topics
from support_training_child import checkpoints_at_every_epoch
from torch import Tensor, nn

from autoopt.app.twin_ladder import SMALLER, TAUGHT
from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.stages import flow
from autoopt.stages.keys import StageKeys, stage_keys
from autoopt.strategies import catalogue
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.learning.judge import tensor_parts
from autoopt.strategies.model import TableData, Trained, TrainingData
from autoopt.strategies.networks.export import exported_graph
from autoopt.strategies.networks.images.patch_net import PatchNet
from autoopt.strategies.networks.learner import Network
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.shrinking.imitated_int8 import imitated_int8
from autoopt.strategies.shrinking.widths import rebuilt
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

RECIPE: dict[str, Value] = {"batch_size": 32, "optimizer.learning_rate": 0.005}
STATIC = Quantize(form="static_int8", calibration_rows=128)
IN_INT8: dict[str, Value] = {**RECIPE, "quantize": "static_int8", "quantize.calibration_rows": 128, "qat": True}
PLAIN = MLP(width=32, depth=1, epochs=10, normalization="none")

SUBJECTS: dict[str, tuple[Network, TrainingData[Any]]] = {
    "normalized in batches": (MLP(width=32, depth=2, epochs=2), task(Kind.MULTICLASS, rows=96, inputs=20, embed=True)),
    "values": (MLP(width=32, depth=1, epochs=2, normalization="layer"), task(Kind.REGRESSION, rows=96, inputs=20)),
    "convolutions": (PatchNet(width=64, depth=1, epochs=1), squares(rows=96)),
    "attention": (TextTransformer(width=32, heads=2, depth=1, epochs=2), topics(Kind.BINARY, rows=96)),
}


def imitated(model: Network, artifact: Any, data: TrainingData[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(float scores, scores in imitated int8) of the valid rows."""
    network = rebuilt(model.build(data), artifact.weights).eval()
    judge = model.judge(data, torch.device("cpu"))
    plain, names = judge.scores(network), set(network.state_dict())
    with imitated_int8(network, artifact.graph()) as int8:
        found = int8.judge(judge, tensor_parts(model.inputs(data.train))).scores(network)
    assert (judge.scores(network) == plain).all()
    assert set(network.state_dict()) == names
    assert "forward" not in vars(network)
    return plain, found


def mean_square(values: NDArray[Any]) -> float:
    return float(np.mean(values.astype(np.float64) ** 2))


@pytest.mark.parametrize("name", SUBJECTS)
def test_imitated_int8_gives_what_the_int8_graph_gives_and_then_is_gone(name: str) -> None:
    model, data = SUBJECTS[name]
    artifact = model.train(data, context(RECIPE)).artifact
    plain, found = imitated(model, artifact, data)
    deployed = run_feed(STATIC.apply(artifact, data.train), data.valid.model_feed(slice(None)))
    # A number half-way between two levels goes to either side by the order of a sum, and each layer has more of them.
    far = 0.6 if name == "convolutions" else 0.1
    assert mean_square(found - deployed) < far * mean_square(plain - deployed)


@cache
def spoiled() -> tuple[NetworkArtifact, TableData]:
    """A network that knows the digits, one hidden unit of which leaves two or three levels to all others."""
    data = digits()
    artifact = PLAIN.train(data, context(RECIPE)).artifact
    assert isinstance(artifact, NetworkArtifact)
    weights = {name: array.copy() for name, array in artifact.weights.items()}
    weights["blocks.0.inner.weight"][3] *= 100
    weights["blocks.0.inner.bias"][3] *= 100
    weights["blocks.0.outer.weight"][:, 3] /= 100
    return NetworkArtifact(architecture=artifact.architecture, weights=weights), data


def deployed_accuracy(artifact: Any, data: TableData) -> float:
    return float(np.mean(run(STATIC.apply(artifact, data.train), data.valid).argmax(1) == data.valid_target))


def test_what_int8_costs_is_mended_and_the_exported_graph_is_a_float_one() -> None:
    artifact, data = spoiled()
    after = PLAIN.shrink(artifact, data, context({**IN_INT8, "qat.rate_share": 0.3}, seed=9))
    before, found = deployed_accuracy(artifact, data), deployed_accuracy(after.artifact, data)
    whole = float(np.mean(run(artifact.graph(), data.valid).argmax(1) == data.valid_target))
    assert before < whole - 0.01
    assert found > before + 0.5 * (whole - before)
    assert after.notes[0].startswith(f"fine-tuned in int8: {before:.5g} before, {found:.5g} after")
    assert [node.op_type for node in after.artifact.graph().graph.node] == [
        node.op_type for node in artifact.graph().graph.node
    ]
    assert np.abs(run(after.artifact.graph(), data.valid) - after.valid_scores).max() < 1e-5


def test_weights_stay_as_they_came_where_fine_tuning_gains_nothing() -> None:
    artifact, data = spoiled()
    after = PLAIN.shrink(artifact, data, context({**IN_INT8, "qat.epochs": 1, "optimizer.learning_rate": 10.0}))
    assert isinstance(after.artifact, NetworkArtifact)
    assert after.notes[0].endswith("its weights stay as they came")
    assert all((after.artifact.weights[n] == w).all() for n, w in artifact.weights.items())


def fine_tuned(folder: Path | None, reports: Reports, **changes: Value) -> Trained:
    data, model = task(Kind.BINARY), MLP(width=32, depth=1, epochs=1)
    artifact = model.train(data, context(RECIPE)).artifact
    recipe = {**IN_INT8, "qat.epochs": 3, "qat.rate_share": 1.0, **changes}
    with checkpoints_at_every_epoch():
        return model.shrink(artifact, data, replace(context(recipe, reports=reports), checkpoints=folder))


@pytest.mark.parametrize("prune", ["none", "magnitude", "channels"])
def test_cut_off_it_comes_to_the_same_network_after_pruning_too(prune: str, tmp_path: Path) -> None:
    changes: dict[str, Value] = {"prune": prune, "prune.share": 0.5, "prune.epochs": 1}
    pruned = int(prune != "none")
    undisturbed = fine_tuned(None, Reports(), **changes)
    for after in (pruned + 1, pruned + 2):
        with pytest.raises(CutOffError):
            fine_tuned(tmp_path / "mine", CutOff(after), **changes)
    reports = Reports()
    found = fine_tuned(tmp_path / "mine", reports, **changes)
    assert [step for step, _ in reports.seen] == [pruned + 3]
    assert (found.valid_scores == undisturbed.valid_scores).all()
    assert isinstance(found.artifact, NetworkArtifact)
    matrices = [w for w in found.artifact.weights.values() if w.ndim == 2]
    zeros = sum(int((w == 0).sum()) for w in matrices) / sum(w.size for w in matrices)
    assert zeros == pytest.approx(0.5 if prune == "magnitude" else 0.0, abs=0.01)


def test_time_that_is_too_short_for_an_epoch_is_told_at_once() -> None:
    artifact, data = spoiled()
    with pytest.raises(StageFailure, match="too few to tell") as caught:
        PLAIN.shrink(artifact, data, replace(context(IN_INT8), limit_s=1e-6))
    assert caught.value.reason is FailureReason.NO_TIME


class InPlace(nn.Module):
    """Written with functions, and with changes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head, self.shift = nn.Linear(8, 3), nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, *inputs: Tensor) -> Tensor:
        (images,) = inputs
        hidden = nn.functional.relu(self.first(images), inplace=True)
        inner = self.second(hidden)
        inner += hidden
        return self.head(nn.functional.relu6(inner + self.shift).mean((2, 3)))


@cache
def written_with_functions() -> tuple[nn.Module, Tensor, onnx.ModelProto]:
    torch.manual_seed(0)
    network, images = InPlace(), torch.randn(4, 3, 6, 6)
    return network, images, exported_graph(network, (images,), ("images",))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_gradients_reach_every_weight_whatever_the_number_format(half: bool) -> None:
    network, images, graph = written_with_functions()
    network.zero_grad()
    plain = network(images).detach()
    with imitated_int8(network, graph), torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        for _ in range(2):  # the second time nothing may be left of the first
            found = network(images)
            found.float().square().sum().backward()
    copy.deepcopy(network)
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())
    levels = found.detach().float()
    assert 0 < float((levels - plain).abs().max()) < 0.05 * float(plain.abs().max())


def keys(**changes: Value) -> StageKeys:
    recipe = recipe_of("mlp", **changes)
    return stage_keys(catalogue(), recipe, fingerprint="f", seed=1, device="cpu")


def test_it_counts_where_static_int8_is_deployed_and_nowhere_else() -> None:
    plain, tuned = keys(quantize="static_int8"), keys(quantize="static_int8", qat=True)
    assert (plain.train, plain.shrink) == (tuned.train, plain.train)
    assert tuned.shrink not in (tuned.train, keys(quantize="static_int8", qat=True, **{"qat.epochs": 3}).shrink)
    assert keys(qat=True) == keys()
    assert keys(prune="channels", qat=True) == keys(prune="channels") == keys(prune="channels", qat=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"), mixed_frame(300), "label")


def test_a_twin_is_fine_tuned_in_its_share_of_the_time_and_the_float_artifact_is_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("mlp").to_json()
    twin = {**recipe, "quantize": "static_int8", "qat": True}
    monkeypatch.setattr(flow, "LEAST_S", 1e-6)
    hurried = place.verify(recipe, twin, seconds=1e-3)
    assert hurried.twin is None
    assert "too few to tell" in hurried.twin_reason
    found = place.verify(recipe, twin, seconds=2.0, look_at_test=False)
    assert found.twin is not None
    assert found.float_artifact.artifact_key == hurried.float_artifact.artifact_key
    again = place.verify(recipe, twin, seconds=1e-3)
    assert again.twin is not None
    assert again.twin.sha256 == found.twin.sha256, "it is in the store"


def test_a_twin_that_is_a_smaller_network_is_held_to_the_float_artifact_and_brings_its_weights(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("mlp").to_json()
    twin = {**recipe, **SMALLER[0], **TAUGHT, "prune.epochs": 4}
    monkeypatch.setattr(flow, "LEAST_S", 1e-6)
    hurried = place.verify(recipe, twin, seconds=1e-3)
    assert hurried.twin is None
    assert "of 4 epochs would fit" in hurried.twin_reason
    found = place.verify(recipe, twin, tolerance=0.2, keeps_twin=True)  # which lifts the limit of time
    assert found.twin is not None
    assert found.float_artifact.artifact_key == hurried.float_artifact.artifact_key
    assert found.twin.size_bytes < 0.5 * found.float_artifact.size_bytes
    assert found.twin.parity["gate"] == "quality"
    assert found.twin.parity["max_abs_difference"] > 0.01, "another network gives other scores"
    whole, left = (
        sum(Path(p).stat().st_size for n, p in w.items() if n.endswith(".safetensors"))
        for w in (found.weights, found.twin_weights)
    )
    assert 0 < left < 0.6 * whole
    plain = place.verify(recipe, {**recipe, "quantize": "static_int8"})
    assert plain.twin is not None
    assert plain.twin_weights == {}, "it is made of those of the float artifact"
