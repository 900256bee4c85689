"""Pruned networks: really smaller, still learning, and built again from their weights alone."""

import gzip
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support_learning import CutOff, CutOffError
from support_network import Reports, context, run, task
from support_pixels import pictures
from support_texts import run_codes, topics
from torch import nn

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.learning.kept_state import MANIFEST
from autoopt.strategies.model import Trained, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet
from autoopt.strategies.networks.images.patch_net import PatchNet
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.strategies.networks.learner import Network
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.strategies.networks.texts.embedding_bag import EmbeddingBag
from autoopt.strategies.networks.texts.text_cnn import TextCNN
from autoopt.strategies.networks.texts.text_network import TextNetwork
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.shrinking.channels import without_channels
from autoopt.strategies.shrinking.unstructured import masked, unstructured, zero_share
from autoopt.strategies.shrinking.widths import rebuilt, widths
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

NETWORKS: dict[str, TextNetwork] = {
    "bag": EmbeddingBag(width=64, depth=2, epochs=6),
    "cnn": TextCNN(width=32, embedding=32, depth=1, epochs=6),
    "transformer": TextTransformer(width=32, heads=2, depth=2, epochs=6),
}
RECIPE = {"batch_size": 32, "optimizer.learning_rate": 0.01}

every_network = pytest.mark.parametrize("name", NETWORKS)


def images(groups: int = 1) -> nn.Module:
    """Convolutions with a skip, one of them grouped, normalized."""

    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
            self.inner = nn.Sequential(
                nn.Conv2d(32, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1, groups=groups), nn.Conv2d(64, 32, 1)
            )
            self.head = nn.Linear(32, 10)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            hidden = self.stem(pixels)
            return self.head((hidden + self.inner(hidden)).mean((2, 3)))

    return Skipping()


def weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def state(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@cache
def trained(name: str) -> Trained:
    return NETWORKS[name].train(topics(Kind.BINARY, rows=600), context(RECIPE))


def shrunk(name: str, **pruning: object) -> tuple[Trained, Trained, Reports]:
    """(as trained, as pruned, what the pruning reported)."""
    data, reports = topics(Kind.BINARY, rows=600), Reports()
    before = trained(name)
    recipe = RECIPE | {"prune" if k == "form" else f"prune.{k}": v for k, v in pruning.items()}
    after = NETWORKS[name].shrink(before.artifact, data, context(recipe, reports=reports))  # type: ignore[arg-type]
    return before, after, reports


@every_network
def test_channels_are_removed_and_the_rest_still_serves(name: str, tmp_path: Path) -> None:
    before, after, reports = shrunk(name, form="channels", share=0.5, epochs=3)
    data = topics(Kind.BINARY, rows=600)
    assert isinstance(after.artifact, ExportedArtifact)
    small, large = after.artifact.graph(), before.artifact.graph()
    assert small.ByteSize() < 0.85 * large.ByteSize()
    assert np.abs(run_codes(small, data.valid.codes) - after.valid_scores).max() < 1e-5
    assert max(reports.column("valid")) > 0.9
    assert [step for step, _ in reports.seen] == [1, 2, 3]
    assert after.artifact.architecture["prune"] == "channels"
    assert "weights left" in after.notes[0]

    after.artifact.save(tmp_path)
    loaded = ExportedArtifact.load(tmp_path)
    again = rebuilt(NETWORKS[name].build(data), loaded.weights).eval()
    with torch.inference_mode():
        scores = again(torch.from_numpy(data.valid.codes)).softmax(1).numpy()
    assert np.abs(scores - after.valid_scores).max() < 1e-5
    assert widths(again) == loaded.architecture["widths"]


def test_it_can_be_pruned_once_more() -> None:
    name = "bag"
    _, after, _ = shrunk(name, form="channels", share=0.3, epochs=1)
    data = topics(Kind.BINARY, rows=600)
    more = NETWORKS[name].shrink(
        after.artifact, data, context(RECIPE | {"prune": "channels", "prune.share": 0.3, "prune.epochs": 1})
    )
    assert more.artifact.graph().ByteSize() < after.artifact.graph().ByteSize()


@pytest.mark.parametrize("form", ["magnitude", "random"])
def test_zeros_stay_zero_while_the_rest_is_tuned(form: str) -> None:
    before, after, _ = shrunk("bag", form=form, share=0.6, epochs=2)
    assert isinstance(after.artifact, ExportedArtifact)
    layers = {name: w for name, w in after.artifact.weights.items() if name.startswith("head") and w.ndim == 2}
    zeros = sum(int((w == 0).sum()) for w in layers.values())
    assert zeros / sum(w.size for w in layers.values()) == pytest.approx(0.6, abs=0.01)
    assert after.artifact.graph().ByteSize() == pytest.approx(before.artifact.graph().ByteSize(), rel=0.02)
    small, large = (len(gzip.compress(t.artifact.graph().SerializeToString())) for t in (after, before))
    assert small < 0.9 * large


def test_the_weights_that_stay_are_the_largest_or_any() -> None:
    torch.manual_seed(0)
    network = images()
    largest, anyhow = nn.Linear(100, 100), nn.Linear(100, 100)
    before = largest.weight.detach().abs().clone()
    mask = unstructured(largest, 0.25, "magnitude")["weight"]
    assert float(before[mask == 0].max()) <= float(before[mask == 1].min())
    before = anyhow.weight.detach().abs().clone()
    mask = unstructured(anyhow, 0.25, "random")["weight"]
    assert float(before[mask == 0].mean()) == pytest.approx(float(before[mask == 1].mean()), rel=0.1)
    for share in (0.3, 0.7):
        unstructured(network, share, "random")
        assert zero_share(network) == pytest.approx(share, abs=1e-3)
    assert set(network.state_dict()) == set(images().state_dict())


def test_a_mask_holds_against_any_optimizer() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(20, 20)
    masks = unstructured(layer, 0.5, "magnitude")
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    with masked(layer, masks):
        for _ in range(5):
            optimizer.zero_grad()
            layer(torch.randn(8, 20)).square().sum().backward()
            optimizer.step()
    assert zero_share(layer) == pytest.approx(0.5, abs=0.01)
    assert (layer.weight[masks["weight"] == 0] == 0).all()
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize("groups", [1, 64], ids=["plain", "depthwise"])
def test_convolutions_lose_channels_in_steps(groups: int) -> None:
    network, pixels = images(groups), (torch.randn(2, 3, 8, 8),)
    sizes = []
    for smaller in without_channels(network, pixels, 0.5, steps=2):
        assert smaller(*pixels).shape == (2, 10)
        sizes.append(weights(smaller))
    assert weights(network) > sizes[0] > sizes[1]
    assert widths(smaller)["stem.0"] == 16
    assert widths(smaller)["head"] == 10
    assert network.stem[0].out_channels == 32  # the given one is left alone
    again = rebuilt(images(groups), state(smaller)).eval()
    assert torch.allclose(again(*pixels), smaller.eval()(*pixels), atol=1e-6)
    assert (again.inner[2].groups, again.inner[2].in_channels) == ((32, 32) if groups > 1 else (1, 32))


def test_channels_that_say_nothing_cost_nothing() -> None:
    """Removing dead channels leaves the outputs as they were: the right ones go."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        network[0].weight[::2] = 0
        network[0].bias[::2] = 0
        network[2].weight[:, ::2] = 0
    rows = torch.randn(5, 6)
    (smaller,) = without_channels(network, (rows,), 0.5)
    assert smaller[0].out_features == 16
    assert torch.allclose(smaller(rows), network(rows), atol=1e-6)


def test_a_network_that_cannot_be_followed_is_refused_with_the_reason() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 32), nn.Linear(32, 2)
            self.register_buffer("scale", torch.ones(32))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(rows) * self.scale)

    for network in (Fixed(), nn.ReLU()):
        with pytest.raises(StageFailure, match="channels of this network cannot be removed"):
            list(without_channels(network, (torch.randn(2, 4),), 0.5))


def test_attention_keeps_its_heads() -> None:
    data = topics(Kind.BINARY, rows=30)
    card = TextTransformer(width=64, heads=4, depth=1)
    network = card.build(data)
    codes = torch.from_numpy(data.train.codes)
    (smaller,) = without_channels(network, (codes,), 0.5, heads=card.attention_heads())
    assert widths(smaller)["blocks.0.attention"] == 3 * 32
    assert smaller.blocks[0].heads == 4
    assert smaller.positions.shape[1] == 32


def test_a_layer_of_a_kind_that_is_not_known_is_not_guessed() -> None:
    smaller = {name: value.numpy() for name, value in nn.Sequential(nn.LSTM(4, 3)).state_dict().items()}
    with pytest.raises(StageFailure, match="LSTM"):
        rebuilt(nn.Sequential(nn.LSTM(4, 5)), smaller)


def test_the_learning_rate_is_a_share_of_the_trainings() -> None:
    _, _, reports = shrunk("bag", form="magnitude", share=0.2, epochs=2, steps=2, rate_share=0.5)
    assert max(reports.column("learning_rate")) <= 0.005 + 1e-9
    assert [step for step, _ in reports.seen] == [1, 2, 3, 4]


SHAPES: dict[str, tuple[Network, TrainingData[Any]]] = {
    "residual": (ResidualNet(width=32), pictures(rows=12)),
    "depthwise": (DepthwiseNet(width=32), pictures(rows=12)),
    "convolved patches": (PatchNet(mixer="convolution", width=64, depth=2), pictures(rows=12)),
    "attended patches": (PatchNet(mixer="attention", width=64, depth=2), pictures(rows=12)),
    "mlp": (MLP(width=64, depth=2), task(Kind.BINARY, rows=60)),
    "mlp with embeddings": (MLP(width=64, depth=2), task(Kind.REGRESSION, rows=60, embed=True)),
}


def products(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """Multiplications of its linear and convolution layers on these rows: what latency hangs on."""
    counted: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        counted.append(output.numel() * int(layer.weight[0].numel()))

    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(counted)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_every_network_becomes_smaller_and_faster(name: str, steps: int) -> None:
    model, data = SHAPES[name]
    torch.manual_seed(0)
    network = model.build(data)
    inputs = tuple(values[:2] for values in model.inputs(data.valid))
    heads = model.attention_heads()
    found = [(weights(network), products(network, inputs))]
    for smaller in without_channels(network, inputs, 0.5, steps=steps, heads=heads):
        assert smaller(*inputs).shape == network(*inputs).shape
        found.append((weights(smaller), products(smaller, inputs)))
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == steps + 1
    assert found[-1][0] < 0.6 * found[0][0]
    assert found[-1][1] < 0.6 * found[0][1]
    (at_once,) = without_channels(network, inputs, 0.5, heads=heads)
    assert widths(at_once) == widths(smaller)


@pytest.mark.parametrize("form", ["channels", "magnitude", "random"])
@pytest.mark.parametrize("kind", [Kind.MULTICLASS, Kind.REGRESSION])
def test_an_mlp_is_pruned_and_writes_its_graph(form: str, kind: Kind) -> None:
    data, model = task(kind, embed=True), MLP(width=64, depth=1, epochs=4)
    before = model.train(data, context(RECIPE))
    pruning = {"prune": form, "prune.share": 0.5, "prune.steps": 2, "prune.epochs": 2}
    after = model.shrink(before.artifact, data, context(RECIPE | pruning))
    graph = after.artifact.graph()
    scale = np.abs(after.valid_scores).max()
    assert np.abs(run(graph, data.valid) - after.valid_scores).max() < 1e-5 * scale
    if form == "channels":
        assert graph.ByteSize() < 0.6 * before.artifact.graph().ByteSize()
    else:
        assert isinstance(after.artifact, NetworkArtifact)
        layers = [w for w in after.artifact.weights.values() if w.ndim == 2]
        assert "zero" in after.notes[0]
        assert sum(int((w == 0).sum()) for w in layers) > 0.3 * sum(w.size for w in layers)


def cut_short(folder: Path) -> None:
    """A pruning in three steps that ends in the third."""
    with pytest.raises(CutOffError):
        pruned_in_three(folder, CutOff(2))


def pruned_in_three(folder: Path | None, reports: Reports, **changes: Value) -> Trained:
    data, model = task(Kind.BINARY), MLP(width=64, depth=1, epochs=1)
    artifact = model.train(data, context(RECIPE)).artifact
    recipe = RECIPE | {"prune": "channels", "prune.share": 0.5, "prune.steps": 3, "prune.epochs": 1, **changes}
    return model.shrink(artifact, data, replace(context(recipe, reports=reports), checkpoints=folder))


@pytest.mark.parametrize("form, taught", [("channels", 0.0), ("channels", 0.6), ("magnitude", 0.6), ("random", 0.0)])
def test_cut_off_after_any_step_it_comes_to_the_same_network(form: str, taught: float, tmp_path: Path) -> None:
    changes: dict[str, Value] = {"prune": form, "prune.taught": taught}
    undisturbed = pruned_in_three(None, Reports(), **changes)
    for after in (1, 2):
        with pytest.raises(CutOffError):
            pruned_in_three(tmp_path / "mine", CutOff(after), **changes)
    reports = Reports()
    found = pruned_in_three(tmp_path / "mine", reports, **changes)
    assert [step for step, _ in reports.seen] == [3]
    assert (found.valid_scores == undisturbed.valid_scores).all()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def test_a_damaged_or_foreign_step_is_removed_and_pruning_begins_anew(tmp_path: Path) -> None:
    for folder, changes in ((tmp_path / "damaged", {}), (tmp_path / "foreign", {"prune.share": 0.3})):
        cut_short(folder)
        if not changes:
            flip(next(folder.glob("*.safetensors")))
        reports = Reports()
        found = pruned_in_three(folder, reports, **changes)
        assert [step for step, _ in reports.seen] == [1, 2, 3]
        assert len(found.notes) == 1
        assert (found.valid_scores == pruned_in_three(None, Reports(), **changes).valid_scores).all()


def test_a_step_that_does_not_fit_is_removed_before_the_next_attempt(tmp_path: Path) -> None:
    cut_short(tmp_path / "mine")
    manifest = tmp_path / "mine" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"step": 2', '"step": 1'))  # weights of another step
    with pytest.raises(StageFailure, match="does not fit") as caught:
        pruned_in_three(tmp_path / "mine", Reports())
    assert FailureReason(caught.value.reason).may_pass
    assert not (tmp_path / "mine").exists()
