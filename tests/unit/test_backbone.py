"""A network that begins with given weights: it has them, what is frozen stays, and its graph is what was trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support_backbone import SMALL, pictures, reference_resnet, usually_normalized, write_weights
from support_network import Reports, context
from support_squares import run_images

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.learning.checkpoint import Checkpoints
from autoopt.strategies.learning.optimizer import Optimizer, set_rate
from autoopt.strategies.learning.training_loop import Plan, fit, settled
from autoopt.strategies.networks.images.backbone import Backbone
from autoopt.strategies.networks.images.body import Body
from autoopt.strategies.networks.learner import arrays
from autoopt.strategies.shrinking.channels import without_channels
from autoopt.strategies.shrinking.widths import rebuilt
from autoopt.task.facts import Kind

RECIPE: dict[str, Value] = {
    "batch_size": 16,
    "optimizer": "adamw",
    "optimizer.learning_rate": 0.01,
    "optimizer.weight_decay": 0.01,
    "schedule": "one_cycle",
    "augment": "flip_crop",
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "resnet.safetensors")


def learned(
    model: Backbone,
    weights: Path,
    recipe: dict[str, Value] | None = None,
    *,
    reports: Reports | None = None,
    checkpoints: Path | None = None,
) -> torch.nn.Module:
    """The network after the training, without a graph of it."""
    data, told = pictures(weights), context(recipe or RECIPE, reports=reports)
    plan = Plan.from_recipe(told.recipe, epochs=model.epochs, patience=9, seed=told.seed)
    with settled(told.slot, told.seed) as device:
        network = model.build(data)
        judge, source = model.judge(data, device), model.source(data, told, device)
        fit(network, source, judge, plan, told.report, checkpoints=checkpoints)
    return network


def body_of(network: torch.nn.Module) -> Body:
    (found,) = (module for module in network.modules() if isinstance(module, Body))
    return found


@pytest.mark.parametrize(
    "name,dtype",
    [*((n, torch.float32) for n in SMALL if n != "mobilenet"), ("resnet", torch.bfloat16)],
    ids=str,
)
def test_it_computes_what_the_weights_say(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "w.safetensors", name, dtype=dtype)
    data = pictures(file, rows=12, side=64)
    network = Backbone(least_side=0).build(data).eval()
    with torch.no_grad():
        found = network[:-1](torch.tensor(data.train.pixels))
        expected = reference_resnet(file, usually_normalized(data.train.pixels))
    assert found.shape == expected.shape == (8, SMALL[name].channels, 2, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_mobilenet_has_its_weights_and_halves_the_image_five_times(tmp_path: Path) -> None:
    file = write_weights(tmp_path / "w.safetensors", "mobilenet")
    network = Backbone(least_side=0).build(pictures(file, rows=6, side=64)).eval()
    own, given = body_of(network).state_dict(), load_file(file)
    assert set(own) == {name for name in given if not name.startswith("classifier")}
    assert all(torch.equal(own[name], given[name]) for name in own)
    assert network[:-1](torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).shape == (2, 320, 2, 2)


@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
@pytest.mark.parametrize("learns", ["all", "last_stage", "head"])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns(name: str, learns: str, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "w.safetensors", name)
    model = Backbone(learns=learns, least_side=0, epochs=1)
    found, given = body_of(learned(model, file)).state_dict(), load_file(file)
    same = {n for n in found if torch.equal(found[n], given[n])}
    last = ("layer4.", *(f"features.{k}." for k in range(14, 19)))
    moved = {"all": set(found), "last_stage": {n for n in found if n.startswith(last)}, "head": set()}[learns]
    assert same == set(found) - moved


def test_the_graph_is_what_was_trained_and_values_come_out_in_their_own_unit(weights: Path) -> None:
    data = pictures(weights, rows=120, kind=Kind.REGRESSION)
    found = Backbone(epochs=4, least_side=32, rate_share=1.0).train(data, context(RECIPE))
    scores = run_images(found.artifact.graph(), data.valid.pixels)
    assert np.abs(scores - found.valid_scores).max() < 1e-2
    assert 90 < scores.mean() < 125
    assert run_images(found.artifact.graph(), data.valid.pixels[:1]).shape == (1, 1)


def test_a_head_learns_the_same_from_features_that_are_computed_once(weights: Path) -> None:
    reports, data = Reports(), pictures(weights)
    recipe = {**RECIPE, "augment": "none"}
    model = Backbone(learns="head", least_side=0, epochs=6)
    once = model.train(data, context(recipe, reports=reports))
    assert "features were computed once" in once.notes
    assert len(reports.seen) == 6
    every_time = model.judge(data, torch.device("cpu")).scores(learned(model, weights, recipe))
    np.testing.assert_allclose(once.valid_scores, every_time, atol=1e-4)
    assert np.abs(run_images(once.artifact.graph(), data.valid.pixels) - once.valid_scores).max() < 1e-4


def test_what_came_trained_moves_at_its_share_of_the_rate(weights: Path) -> None:
    network = Backbone(rate_share=0.1).build(pictures(weights))
    for optimizer in Optimizer(rule="muon", learning_rate=0.5).build(network):
        set_rate(optimizer, 0.2)
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        own = {id(p) for p in body_of(network).parameters()}
        assert all(rate == pytest.approx(0.02 if p in own else 0.2) for p, rate in rates.items())


def test_frozen_normalizations_keep_their_statistics_in_training_mode(weights: Path) -> None:
    network = Backbone(learns="last_stage").build(pictures(weights)).train()
    modes = {n: m.training for n, m in body_of(network).named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert {n for n, training in modes.items() if training} == {n for n in modes if n.startswith("layer4")}


class CutOff(Reports):
    """Ends a training in its third epoch, as a kill does."""

    def __call__(self, step: int, values: dict[str, float]) -> None:
        if step > 2:
            raise KeyboardInterrupt


def test_it_goes_on_from_a_checkpoint_bit_for_bit(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "offer", Checkpoints.keep)  # after every epoch
    model, reports = Backbone(epochs=4, least_side=0, learns="last_stage"), Reports()
    whole = learned(model, weights)
    with pytest.raises(KeyboardInterrupt):
        learned(model, weights, reports=CutOff(), checkpoints=tmp_path / "kept")
    again = learned(model, weights, reports=reports, checkpoints=tmp_path / "kept")
    assert [step for step, _ in reports.seen] == [3, 4]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize("name", ["resnet", pytest.param("mobilenet", marks=pytest.mark.slow)])
def test_int8_folds_its_normalizations_and_takes_a_fraction_of_the_bytes(name: str, tmp_path: Path) -> None:
    data = pictures(write_weights(tmp_path / "w.safetensors", name))
    model = Backbone(least_side=0)
    artifact = model.artifact(model.build(data), data)
    small = Quantize(form="static_int8").apply(artifact, data.train)
    operators = [node.op_type for node in small.graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == sum(len(shape) == 4 for shape in SMALL[name].shapes().values())
    float_scores, scores = (run_images(graph, data.valid.pixels) for graph in (artifact.graph(), small))
    assert np.abs(float_scores - scores).mean() < 0.1
    assert small.ByteSize() < 0.6 * artifact.graph().ByteSize()


@pytest.mark.parametrize("name", SMALL)
def test_channels_can_be_pruned_and_what_is_left_learns_as_a_whole(name: str, tmp_path: Path) -> None:
    data = pictures(write_weights(tmp_path / "w.safetensors", name))
    network = Backbone(learns="head", least_side=0).build(data).eval()
    (smaller,) = without_channels(network, (torch.tensor(data.train.pixels[:2]),), 0.5)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (network, smaller)]
    assert sizes[1] < 0.5 * sizes[0]
    assert all(p.requires_grad for p in smaller.parameters())
    again = rebuilt(Backbone(least_side=0).build(data).eval(), arrays(smaller))
    with torch.no_grad():
        pixels = torch.tensor(data.valid.pixels)
        torch.testing.assert_close(again(pixels), smaller.eval()(pixels), rtol=1e-4, atol=1e-4)


def test_without_weights_there_is_nothing_to_begin_with() -> None:
    with pytest.raises(StageFailure, match="--backbone FILE"):
        Backbone().build(pictures(None))


def test_cards_are_complete() -> None:
    declared = Backbone.declarations()
    assert all(d.summary and d.stage == "train" and ("model", ("backbone",)) in d.when for d in declared)
    assert all(d.domain.contains(d.default) for d in declared)
