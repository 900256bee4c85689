"""Clipping, parts of a batch, recomputation: the same step, smaller, or in less memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support_learning import CLASSES, Watched, convolutional, digest, judge_of, perceptron, plan_of, rows_of, source_of
from support_network import Reports
from torch import Tensor, nn

from autoopt.strategies.learning.gradients import Gradients, blocks_of, parts, recomputed
from autoopt.strategies.learning.source import Batch
from autoopt.strategies.learning.training_loop import fit


def batch_of(rows: int) -> Batch:
    return Batch(inputs=(torch.arange(rows), torch.arange(rows) * 2), target=torch.arange(rows) * 3)


@given(rows=st.integers(1, 200), count=st.integers(1, 64))
def test_parts_are_the_batch_and_none_is_a_single_row(rows: int, count: int) -> None:
    found = parts(batch_of(rows), count)
    assert torch.cat([p.inputs[0] for p in found]).tolist() == list(range(rows))
    assert all(torch.equal(p.inputs[1], p.inputs[0] * 2) and torch.equal(p.target, p.inputs[0] * 3) for p in found)
    assert len(found) <= count
    assert all(len(p) > 1 for p in found) or rows == 1
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
@pytest.mark.parametrize("rows", [96, 90])  # the last batch of 90 rows is smaller
def test_a_step_in_parts_is_the_step_of_the_whole_batch(rule: str, rows: int) -> None:
    def trained(count: int) -> nn.Module:
        network = perceptron()
        recipe = {"optimizer": rule, "batch_size": 32, "gradients.accumulate": count, "gradients.clip_norm": 0.5}
        fit(network, source_of(4, rows=rows), judge_of(4), plan_of(recipe), Reports())
        return network

    whole, cut = trained(1).state_dict(), trained(4).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-6)


def test_parts_go_through_the_network_one_by_one() -> None:
    seen: list[int] = []
    network = perceptron()
    network.register_forward_pre_hook(lambda m, args: seen.append(len(args[0])) if m.training else None)
    fit(network, source_of(4), judge_of(4), plan_of({"batch_size": 32, "gradients.accumulate": 4}, epochs=1), Reports())
    assert seen == [8] * 12


class Greedy(nn.Module):  # type: ignore[misc]
    """A network for which more than `most` rows at once are too many, while it trains."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most = perceptron(), most

    def forward(self, numbers: Tensor) -> Tensor:
        if self.training and len(numbers) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(numbers)


def test_a_batch_that_does_not_fit_is_cut_and_the_step_stays_the_same() -> None:
    plan = plan_of({"batch_size": 32})
    roomy, tight = Greedy(32), Greedy(5)
    fit(roomy, source_of(4), judge_of(4), plan, Reports())
    learned = fit(tight, source_of(4), judge_of(4), plan, Reports())
    for name, value in roomy.state_dict().items():
        torch.testing.assert_close(tight.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert "each step in 8 parts: a whole batch did not fit into memory" in learned.notes


def test_what_does_not_fit_row_by_row_fails() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        fit(Greedy(1), source_of(4), judge_of(4), plan_of(), Reports())


def test_clipping_bounds_the_gradient_of_every_step_and_zero_does_not() -> None:
    def longest(clip_norm: float) -> float:
        network = perceptron()
        norms: list[float] = []

        def note(_: Batch) -> None:  # before a batch the gradients are those of the step before
            found = [p.grad.norm() for p in network.parameters() if p.grad is not None]
            norms.extend([float(torch.stack(found).norm())] if found else [])

        source = Watched(source_of(4), note)
        fit(network, source, judge_of(4), plan_of({"gradients.clip_norm": clip_norm}), Reports())
        return max(norms)

    assert longest(0.1) == pytest.approx(0.1, rel=1e-3)
    assert longest(0.0) > 0.5


def test_clipping_looks_at_gradients_without_the_scale_of_fp16() -> None:
    network = perceptron()
    recipe = {"precision": "fp16", "gradients.clip_norm": 0.1, "optimizer": "sgd"}
    fit(network, source_of(4), judge_of(4), plan_of(recipe, epochs=1), Reports())
    norms = torch.stack([p.grad.norm() for p in network.parameters()])
    assert float(norms.norm()) <= 0.1 * 1.001


class Deep(nn.Module):  # type: ignore[misc]
    """Blocks in a list, with batch normalization and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        parts = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Dropout(0.5)) for _ in range(6)]
        self.blocks = nn.ModuleList(parts)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, numbers: Tensor) -> Tensor:
        for block in self.blocks:
            numbers = numbers + block(numbers)
        return self.head(numbers)


def kept_bytes(network: nn.Module, inputs: Tensor) -> int:
    """What the forward pass keeps for the backward pass."""
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        found[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(inputs)
    return sum(found.values())


def test_recomputation_gives_the_same_training_and_keeps_less() -> None:
    def trained(recompute: bool) -> str:
        network = Deep()
        recipe = {"gradients.recompute": recompute}
        fit(network, source_of(4), judge_of(4), plan_of(recipe), Reports())
        return digest(network)  # statistics of batch normalization included

    assert trained(True) == trained(False)
    network, (inputs, _) = Deep(), rows_of(4, rows=512)
    whole = kept_bytes(network, inputs)
    with recomputed(network):
        assert kept_bytes(network, inputs) < whole / 3


def test_recomputation_leaves_the_network_as_it_was() -> None:
    network = Deep()
    before = [block.forward for block in blocks_of(network)]
    with Gradients(recompute=True).lent(network):
        assert [block.forward for block in blocks_of(network)] != before
    assert [block.forward for block in blocks_of(network)] == before
    assert len(before) == 6
    assert len(blocks_of(convolutional())) == 4  # what has no weights is not worth it
