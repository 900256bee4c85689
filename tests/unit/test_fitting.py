"""Epochs that fit into the time there is; and signs of life from long ones."""

import itertools
import time

import pytest
import torch
from support_learning import Watched, digest, judge_of, perceptron, plan_of, source_of
from support_network import Reports
from torch import nn

from autoopt.errors import StageFailure
from autoopt.strategies.learning import epoch as epochs_module
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.source import Source
from autoopt.strategies.learning.training_loop import fit
from autoopt.values import FailureReason


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def source(self, *, first_s: float, then_s: float) -> Source:
        """Its first two batches take `first_s`, the others `then_s`."""
        counted = itertools.count()

        def wait(_: object) -> None:
            self.now += first_s if next(counted) < 2 else then_s

        return Watched(source_of(4), wait)  # 96 rows: six steps an epoch

    def judge(self, seconds: float) -> Judge:
        plain = judge_of(4)

        def parts() -> object:
            self.now += seconds
            return plain.parts()

        return Judge(parts=parts, scores_of=plain.scores_of, score=plain.score, greater_is_better=True)  # type: ignore[arg-type]


def test_as_many_epochs_are_planned_as_fit_and_the_first_steps_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reports = Clock(monkeypatch), Reports()
    source, judge = clock.source(first_s=30.0, then_s=1.0), clock.judge(4.0)
    learned = fit(perceptron(), source, judge, plan_of(epochs=40), reports, limit_s=150.0)
    # 60 s for the first two steps, 2 % of 90 s in two more, 4 s for a judgement; an epoch takes 6 + 4.
    assert learned.epochs == 8
    assert "8 of 40 epochs: what fits into 150 s" in learned.notes
    assert {values["planned_steps"] for _, values in reports.seen if values} == {8.0}


def test_the_schedule_is_laid_out_over_the_epochs_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reports = Clock(monkeypatch), Reports()
    wanted = plan_of({"schedule": "cosine"}, epochs=40)
    fit(perceptron(), clock.source(first_s=1.0, then_s=1.0), clock.judge(0.0), wanted, reports, limit_s=30.0)
    steps = 6 * len(reports.seen)
    pace = wanted.schedule.pace(peak=wanted.optimizer.learning_rate, total_steps=steps)
    assert reports.column("learning_rate")[-1] == pytest.approx(pace.rate(steps - 1))


@pytest.mark.parametrize(("limit_s", "epochs"), [(1e-3, 1), (1e6, 4)])
def test_at_least_one_and_at_most_those_of_the_recipe(
    limit_s: float, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    source = clock.source(first_s=1.0, then_s=1.0)
    assert fit(perceptron(), source, clock.judge(0.0), plan_of(epochs=4), Reports(), limit_s=limit_s).epochs == epochs


@pytest.mark.parametrize(("first_s", "then_s"), [(1.0, 10.0), (60.0, 60.0), (300.0, 300.0)])
def test_an_epoch_that_would_never_end_is_not_begun(
    first_s: float, then_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, reports = Clock(monkeypatch), Reports()
    source, began = clock.source(first_s=first_s, then_s=then_s), clock.now  # six steps an epoch
    with pytest.raises(StageFailure, match=r"one epoch takes about [\d,]+ s, and there are 30 s") as failure:
        fit(perceptron(), source, clock.judge(5.0), plan_of(epochs=4), reports, limit_s=30.0)
    assert failure.value.reason == FailureReason.NO_TIME
    assert reports.seen == []
    assert clock.now - began <= max(30.0, first_s) + 2 * then_s


@pytest.mark.parametrize(("least_share", "begun"), [(0.2, True), (0.3, False)])
def test_where_fewer_than_the_least_share_fit_it_is_not_begun(
    least_share: float, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, reports = Clock(monkeypatch), Reports()
    source, judge = clock.source(first_s=1.0, then_s=1.0), clock.judge(1.0)  # 7 s an epoch

    def learned() -> int:
        plan = plan_of(epochs=40)
        return fit(perceptron(), source, judge, plan, reports, limit_s=60.0, least_share=least_share).epochs

    if begun:
        assert learned() == 7, "of 40, of which 30 count"
    else:
        with pytest.raises(StageFailure, match="7 of 40 epochs would fit into 60 s") as failure:
            learned()
        assert failure.value.reason == FailureReason.NO_TIME
        assert reports.seen == []


def test_a_short_epoch_is_begun_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = clock.source(first_s=3.0, then_s=3.0)  # 18 s an epoch
    assert fit(perceptron(), source, clock.judge(1.0), plan_of(epochs=4), Reports(), limit_s=1.0).epochs == 1


def test_measuring_leaves_no_trace_in_the_result() -> None:
    def trained(limit_s: float | None) -> str:
        network = perceptron(normalized=True)
        recipe = {"ema": True, "optimizer": "sgd", "optimizer.momentum": 0.9, "precision": "fp16"}
        with torch.random.fork_rng():
            torch.manual_seed(4)
            fit(network, source_of(4), judge_of(4), plan_of(recipe), Reports(), limit_s=limit_s)
        return digest(network)

    assert trained(1e6) == trained(None)


def test_a_machine_that_gets_slower_ends_the_training_with_its_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    counted = itertools.count()

    def wait(_: object) -> None:
        clock.now += 0.1 if next(counted) < 40 else 10.0

    source, network = Watched(source_of(4), wait), perceptron()
    learned = fit(network, source, clock.judge(0.0), plan_of(epochs=40), Reports(), limit_s=20.0)
    assert 1 <= learned.epochs < 40
    assert f"ended after epoch {learned.epochs}: epochs took longer than measured before" in learned.notes
    assert judge_of(4)(network) == learned.value


def test_an_epoch_that_would_end_too_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, counted = Clock(monkeypatch), itertools.count()

    def wait(_: object) -> None:
        clock.now += 1.0 if next(counted) < 4 else 6.0  # 36 s an epoch in place of 6

    source, plan = Watched(source_of(4), wait), plan_of(epochs=40)
    learned = fit(perceptron(), source, clock.judge(0.0), plan, Reports(), limit_s=100.0)
    assert learned.epochs == 3  # 36 s more would be beyond 1.3 times the limit
    assert "ended after epoch 3: epochs took longer than measured before" in learned.notes


def test_a_long_epoch_says_in_between_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reports = Clock(monkeypatch), Reports()
    source = clock.source(first_s=9.0, then_s=9.0)  # 54 s an epoch
    fit(perceptron(), source, clock.judge(0.0), plan_of(epochs=2), reports)
    assert epochs_module.SIGN_OF_LIFE_S < 27
    assert [(step, bool(values)) for step, values in reports.seen] == [
        *[(1, False)] * 2,
        (1, True),
        *[(2, False)] * 2,
        (2, True),
    ]


def test_modules_of_the_network_are_trained_again_after_measuring() -> None:
    modes: list[bool] = []
    network: nn.Module = perceptron(normalized=True)
    network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    fit(network, source_of(4), judge_of(4), plan_of(epochs=1), Reports(), limit_s=1e6)
    assert modes[-7:] == [True] * 6 + [False]
