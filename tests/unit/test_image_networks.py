"""The networks for images: their graphs are the trained networks, at any size, and they learn what is plain to see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support_network import context, learned_scores
from support_squares import run_images, squares

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.model import Features
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet
from autoopt.strategies.networks.images.image_network import ImageNetwork, stem_step
from autoopt.strategies.networks.images.patch_net import PatchNet
from autoopt.strategies.networks.images.pixels import Normalize, moments
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

RECIPE: dict[str, Value] = {
    "batch_size": 24,
    "optimizer": "adamw",
    "optimizer.learning_rate": 0.005,
    "schedule": "one_cycle",
    "augment": "flip_crop",
}
NETWORKS: dict[str, ImageNetwork] = {
    "residual_net": ResidualNet(width=4, epochs=6),
    "depthwise_net": DepthwiseNet(width=8, depth=1, epochs=8),
    "patch_net": PatchNet(width=32, depth=1, epochs=8),
    "patch_net-attention": PatchNet(mixer="attention", width=32, depth=1, epochs=16),
}

every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_it_learns_the_colour_of_a_square_and_the_graph_is_what_was_trained(name: str) -> None:
    data = squares()
    trained = NETWORKS[name].train(data, context(RECIPE))
    found = run_images(trained.artifact.graph(), data.valid.pixels)
    assert (found.argmax(1) == data.valid_target).mean() > 0.9
    assert np.abs(found - trained.valid_scores).max() < 1e-4
    assert np.allclose(found.sum(1), 1, atol=1e-5)


@every_network
@pytest.mark.parametrize("height,width", [(8, 8), (37, 21)])
def test_any_size_from_eight_pixels_and_any_number_of_rows(name: str, height: int, width: int) -> None:
    data = squares(rows=12, height=height, width=width)
    model = NETWORKS[name]
    torch.manual_seed(0)
    network = model.build(data).eval()
    with torch.no_grad():
        expected = network(torch.tensor(data.train.pixels)).softmax(1).numpy()
    graph = model.artifact(network, data).graph()
    for rows in (1, 2, 7):
        found = run_images(graph, data.train.pixels[:rows])
        assert np.abs(found - expected[:rows]).max() < 1e-4


@every_network
def test_same_seed_same_artifact(name: str, tmp_path: Path) -> None:
    data = squares(rows=30, height=8, width=8)
    model = type(NETWORKS[name])(**{**vars(NETWORKS[name]), "epochs": 2, "dropout": 0.2})
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        model.train(data, context(RECIPE, seed=3)).artifact.save(tmp_path / part)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    loaded = ExportedArtifact.load(tmp_path / "a")
    assert run_images(loaded.graph(), data.valid.pixels).shape == (10, 3)


def test_values_come_out_in_their_own_unit() -> None:
    data = squares(kind=Kind.REGRESSION)
    trained = ResidualNet(width=4, epochs=4).train(data, context(RECIPE))
    found = run_images(trained.artifact.graph(), data.valid.pixels)
    assert found.shape == (60, 1)
    assert np.abs(found[:, 0] - data.valid_target).mean() < 3.0
    assert np.abs(found - trained.valid_scores).max() < 1e-2


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_targets_train_too(mix: str) -> None:
    data = squares(kind=Kind.BINARY)
    recipe = {**RECIPE, "augment": "trivial", "augment.mix": mix}
    scores = learned_scores(ResidualNet(width=4, epochs=6), data, context(recipe))
    assert (scores.argmax(1) == data.valid_target).mean() > 0.8


def test_an_untrained_network_has_the_size_of_the_trained_one() -> None:
    data = squares(rows=24)
    model = ResidualNet(width=8, epochs=1)
    untrained = model.untrained(data, context(RECIPE))
    assert untrained is not None
    trained = model.train(data, context(RECIPE)).artifact
    assert abs(untrained.graph().ByteSize() / trained.graph().ByteSize() - 1) < 0.02


def test_pixels_are_normalized_by_the_train_parts_moments_and_stay_channels_last() -> None:
    pixels = squares(rows=60).train.pixels
    found = Normalize(*moments(pixels))(torch.tensor(pixels))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(found.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)
    black = np.zeros((2, 8, 8, 3), np.uint8)
    assert torch.isfinite(Normalize(*moments(black))(torch.tensor(black))).all()


def test_a_mapped_part_is_read_where_it_lies(tmp_path: Path) -> None:
    data = squares(rows=30)
    np.save(tmp_path / "pixels.npy", data.train.pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    (tensor,) = ResidualNet().inputs(type(data.train)(pixels=mapped))
    assert tensor.data_ptr() == mapped.ctypes.data


@pytest.mark.parametrize(("stride", "side", "step"), [(0, 32, 1), (0, 128, 2), (0, 224, 4), (2, 32, 2), (1, 224, 1)])
def test_the_stem_brings_large_images_down(stride: int, side: int, step: int) -> None:
    assert stem_step(stride, side, side + 10) == step


def test_what_no_network_can_learn_from_is_refused_with_the_reason() -> None:
    with pytest.raises(StageFailure, match="8x8 pixels or more, and got 20 of 6x9") as info:
        ResidualNet().train(squares(rows=30, height=6, width=9), context(RECIPE))
    assert info.value.reason == FailureReason.ERROR
    table = Features(numbers=np.zeros((3, 2), np.float32), codes=np.zeros((3, 0), np.int64))
    with pytest.raises(StageFailure, match="from pixels, not from Features"):
        ResidualNet().inputs(table)


@every_network
def test_cards_are_complete(name: str) -> None:
    declared = type(NETWORKS[name]).declarations()
    assert all(d.summary and d.stage == "train" and ("model", (d.strategy,)) in d.when for d in declared)
    assert all(d.domain.contains(d.default) for d in declared)
