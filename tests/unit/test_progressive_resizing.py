"""Progressive resizing: what the network sees in each epoch, what it is judged with, and where it applies."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support_learning import judge_of, plan_of, rows_of
from support_module import prepared, returning
from support_network import Reports
from torch import Tensor, nn

from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.source import Batch, TensorSource
from autoopt.strategies.learning.training_loop import fit
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

CPU = Slot(index=0, device="cpu", device_index=0, threads=1)
SIDE = 32


def of_any_size() -> nn.Module:
    """Images (rows, 3, h, w) → logits (rows, 3)."""
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def resized(start: str, grown_by: float = 0.6, *, epochs: int = 8) -> Plan:
    recipe = {"batch_size": 48, "progressive_resizing": start, "progressive_resizing.grown_by": grown_by}
    return replace(plan_of(recipe, epochs=epochs), image_axes=(1, 2))


def sides_seen(network: nn.Module, plan: Plan) -> tuple[list[int], list[int]]:
    """Of the images of each training step, and of each judgement."""
    training: list[int] = []
    judged: list[int] = []

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        (training if module.training else judged).append(given[0].shape[-1])

    network.register_forward_pre_hook(note)
    inputs, target = rows_of(3, SIDE, SIDE)
    fit(network, TensorSource((inputs,), target), judge_of(3, SIDE, SIDE), plan, Reports())
    return training, judged


def test_images_grow_from_half_the_side_to_the_whole_and_are_judged_whole() -> None:
    training, judged = sides_seen(of_any_size(), resized("half", 0.6))
    assert training[::2] == training[1::2], "96 rows in batches of 48: two steps an epoch, alike"
    assert training[::2] == [16, 16, 20, 24, 28, 32, 32, 32]
    assert set(judged) == {SIDE}


def test_nothing_changes_without_it() -> None:
    training, _ = sides_seen(of_any_size(), resized("none"))
    assert set(training) == {SIDE}


@given(
    start=st.sampled_from(["three_quarters", "half"]),
    grown_by=st.floats(0.2, 0.9),
    epochs=st.integers(1, 60),
    first_s=st.floats(0.01, 10),
    slower=st.floats(1, 5),
)
def test_the_size_never_falls_and_an_epoch_takes_no_longer_than_a_whole_one(
    start: str, grown_by: float, epochs: int, first_s: float, slower: float
) -> None:
    resizing = ProgressiveResizing(start=start, grown_by=grown_by)
    sizes = [resizing.eighths(epoch / epochs) for epoch in range(epochs)]
    assert sizes == sorted(sizes)
    assert (sizes[0], resizing.eighths(1.0)) == (4 if start == "half" else 6, 8)
    mean_s = resizing.mean_epoch_s(first_s, slower * first_s, epochs)
    assert first_s * (1 - 1e-9) <= mean_s <= slower * first_s * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("axes", [(0, 1), (1, 2)], ids=["height width channels", "channels height width"])
def test_scaling_keeps_number_format_and_mean_and_leaves_other_inputs(
    axes: tuple[int, int], dtype: torch.dtype
) -> None:
    images = (torch.rand(5, 3, 24, 40, generator=torch.Generator().manual_seed(1)) * 200).to(dtype)
    images = images if axes == (1, 2) else images.permute(0, 2, 3, 1).contiguous()
    batch = Batch(inputs=(images, torch.zeros(5, 24)), target=torch.zeros(5, dtype=torch.int64))
    seen, other = ProgressiveResizing(start="half").apply(batch, 0.0, axes).inputs
    assert seen.shape == ((5, 3, 12, 20) if axes == (1, 2) else (5, 12, 20, 3))
    assert seen.dtype == dtype
    assert float(seen.float().mean()) == pytest.approx(float(images.float().mean()), rel=0.02)
    assert other.shape == (5, 24)


def test_more_epochs_fit_than_of_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def work(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal now
        now += given[0].shape[-1] ** 2 / SIDE**2 if module.training else 0.0

    epochs = {}
    for start in ("none", "half"):
        network, (inputs, target) = of_any_size(), rows_of(3, SIDE, SIDE)
        network.register_forward_pre_hook(work)
        source, judge = TensorSource((inputs,), target), judge_of(3, SIDE, SIDE)
        learned = fit(network, source, judge, resized(start, 0.9, epochs=90), Reports(), limit_s=100.0)
        epochs[start] = learned.epochs
    assert 40 <= epochs["none"] <= 50, "of two steps, each of a second"
    assert 1.5 <= epochs["half"] / epochs["none"] <= 1.8


BUILDS = {
    "convolutions over channels, height, width": ("nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()", (1, 2)),
    "height, width, channels": ("Last(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()", (0, 1)),
    "one size only": ("nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 22, 4)", None),
}
LAST = """class Last(nn.Module):
    def forward(self, x):
        return x.permute(0, 3, 1, 2)


def network():
    return nn.Sequential({layers}, nn.Linear(4, 2))
"""


@pytest.mark.parametrize("kind", BUILDS)
def test_a_module_is_tried_with_smaller_images(kind: str, tmp_path: Path) -> None:
    layers, axes = BUILDS[kind]
    shape = (24, 24, 3) if axes == (0, 1) else (3, 24, 24)
    fields = f"build=network, **cut(inputs=torch.randn(120, *{shape}))"
    facts = prepared(tmp_path, returning(fields, before=LAST.format(layers=layers))).facts
    assert facts.image_axes == axes
    assert TaskFacts.from_json(json.loads(json.dumps(facts.to_json()))).image_axes == axes
    reason = ProgressiveResizing.applies(facts, CPU)
    assert reason == (None if axes else "the module takes no images, or of one size only")


def test_a_module_of_numbers_takes_none(tmp_path: Path) -> None:
    assert prepared(tmp_path).facts.image_axes is None
