"""The training loop: batches, rates, early stopping, and losses that stop being numbers."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support_network import Reports, context, task

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.batch_size import BatchSize, batch_count, batches
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.training import Best
from autoopt.strategies.learning.training_loop import Plan, fit, settled
from autoopt.strategies.networks.mlp import MLP
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

CPU = torch.device("cpu")


@given(rows=st.integers(1, 400), size=st.integers(2, 64))
def test_batches_have_the_size_asked_for_and_none_is_a_single_row(rows: int, size: int) -> None:
    found = list(batches(torch.arange(rows), size))
    assert len(found) == batch_count(rows, size)
    assert all(len(batch) == size for batch in found[:-1])
    assert all(len(batch) > 1 for batch in found) or rows == 1
    assert rows - sum(len(batch) for batch in found) in (0, 1)
    assert torch.cat(found).tolist() == list(range(rows))[: sum(len(batch) for batch in found)]


def test_the_network_sees_batches_of_the_size_in_the_recipe() -> None:
    data = task(Kind.BINARY)  # 160 train rows
    network = MLP(width=16).build(data)
    seen: list[int] = []
    network.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])) if module.training else None)
    plan = Plan.from_recipe(Recipe({"batch_size": 64}), epochs=2, patience=9, seed=1)
    fit(network, MLP().source(data, context(), CPU), MLP().judge(data, CPU), plan, Reports())
    assert seen == [64, 64, 32] * 2
    assert plan.batch_size == BatchSize(rows=64)


def test_each_step_runs_at_the_rate_of_the_schedule() -> None:
    data, reports = task(Kind.BINARY), Reports()
    recipe = {"batch_size": 40, "schedule": "cosine", "optimizer.learning_rate": 0.01}
    MLP(width=16, epochs=4, patience=9).train(data, context(recipe, reports=reports))
    plan = Plan.from_recipe(Recipe(recipe), epochs=4, patience=9, seed=1)
    pace = plan.schedule.pace(peak=0.01, total_steps=16)  # 160 rows in batches of 40, four epochs
    assert reports.column("learning_rate") == pytest.approx([pace.rate(step) for step in (3, 7, 11, 15)])


def staged(values: list[float]) -> tuple[Judge, Iterator[float]]:
    """A judge that says what it is told to, epoch by epoch."""
    left = iter(values)
    judge = MLP().judge(task(Kind.BINARY), CPU)
    return dataclasses.replace(judge, score=lambda _: next(left), greater_is_better=True), left


def test_stops_when_patience_is_over_and_keeps_the_best_weights() -> None:
    data, reports = task(Kind.BINARY), Reports()
    network = MLP(width=16).build(data)
    kept: list[torch.Tensor] = []

    def report(epoch: int, values: dict[str, float]) -> None:
        reports(epoch, values)
        kept.append(network.head.weight.detach().clone())

    judge, left = staged([0.5, 0.7, 0.6, 0.6, 0.9])
    best = fit(
        network,
        MLP().source(data, context(), CPU),
        judge,
        Plan.from_recipe(Recipe({}), epochs=9, patience=2, seed=1),
        report,
    )
    assert reports.column("valid") == [0.5, 0.7, 0.6, 0.6]
    assert (best.epoch, best.value) == (2, 0.7)
    assert list(left) == [0.9]
    assert torch.equal(network.head.weight, kept[1])
    assert not torch.equal(kept[1], kept[3])


@pytest.mark.parametrize(("greater", "kept"), [(True, 0.9), (False, 0.1)])
def test_better_goes_the_way_of_the_metric(greater: bool, kept: float) -> None:
    best, network = Best(greater), torch.nn.Linear(1, 1)
    for epoch, value in enumerate([0.4, 0.9, 0.1, 0.9], start=1):
        best.offer(epoch, value, network)
    assert best.value == kept


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.REGRESSION])
def test_a_loss_that_is_no_number_fails_the_candidate(kind: Kind) -> None:
    data = task(kind)
    huge = dataclasses.replace(data.train, numbers=data.train.numbers.copy())
    recipe = {
        "optimizer": "sgd",
        "optimizer.learning_rate": 1.0,
        "optimizer.momentum": 0.99,
        "optimizer.weight_decay": 1.0,
    }
    with pytest.raises(StageFailure, match=r"epoch \d+.*learning_rate") as failure:
        MLP(width=16, normalization="none", epochs=300, patience=300).train(
            dataclasses.replace(data, train=huge), context({**recipe, "batch_size": 16})
        )
    assert failure.value.reason == FailureReason.NOT_FINITE


def test_memory_that_is_spent_is_the_candidates_failure() -> None:
    threads = torch.get_num_threads()
    with pytest.raises(StageFailure, match="memory of cpu") as failure, settled(context().slot, 1):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert failure.value.reason == FailureReason.OUT_OF_MEMORY
    assert torch.get_num_threads() == threads
