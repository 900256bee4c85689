"""The MLP: its shape, what it does with odd data, and what it leaves alone."""

import dataclasses

import numpy as np
import pytest
import torch
from support_network import Reports, context, digits, facts_of, task

from autoopt.errors import StageFailure
from autoopt.strategies.networks.mlp import MLP, embedding_width, standardisation
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.task.facts import Kind, Modality
from autoopt.task.scoring import score
from autoopt.values import FailureReason, Slot


@pytest.mark.parametrize(("asked", "got"), [(16, 16), (17, 16), (21, 24), (250, 248), (1024, 1024)])
def test_width_is_rounded_to_a_multiple_of_8(asked: int, got: int) -> None:
    data = task(Kind.BINARY)
    assert MLP(width=asked).shape(data.facts, data.train).width == got


@pytest.mark.parametrize(
    ("cardinality", "scale", "width"), [(2, 1.0, 2), (10, 1.0, 6), (10**5, 1.0, 50), (10**5, 2.0, 100), (1, 0.25, 1)]
)
def test_embedding_width(cardinality: int, scale: float, width: int) -> None:
    assert embedding_width(cardinality, scale) == width


def test_standardisation_mends_only_what_needs_it() -> None:
    random = np.random.default_rng(0)
    fine, wide, tiny = random.normal(size=(3, 500))
    flag = random.random(500) < 0.02
    constant = np.full(500, 7.0)
    numbers = np.stack([fine, wide * 1e4 + 1e5, tiny * 1e-6, flag, constant], axis=1).astype(np.float32)
    shift, scale = standardisation(numbers)
    assert (shift[[0, 3]] == 0).all()
    assert (scale[[0, 3, 4]] == 1).all()
    mended = (numbers - shift) / scale
    np.testing.assert_allclose(mended[:, 1:3].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(mended[:, 1:3].std(axis=0), 1, atol=1e-3)
    assert (mended[:, 4] == 0).all()


def test_learns_digits() -> None:
    data = digits()
    trained = MLP(width=64, depth=1, epochs=8).train(data, context({"batch_size": 32}))
    assert score("accuracy", data.facts, data.valid_target, trained.valid_scores) > 0.93


def test_learns_values_in_the_unit_of_the_target() -> None:
    data = task(Kind.REGRESSION, rows=900)
    trained = MLP(width=32, depth=1, epochs=15, dropout=0.0).train(data, context({"batch_size": 32}))
    assert score("r2", data.facts, data.valid_target, trained.valid_scores) > 0.9


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["train", "valid"])
def test_missing_and_infinite_numbers_are_refused(part: str, value: float) -> None:
    data = task(Kind.BINARY)
    getattr(data, part).numbers[3, 1] = value
    with pytest.raises(StageFailure, match=f"1 of .*{part} rows .*impute") as failure:
        MLP(width=16, epochs=1).train(data, context())
    assert failure.value.reason == FailureReason.NOT_FINITE


def test_one_row_is_refused() -> None:
    data = task(Kind.BINARY)
    one = dataclasses.replace(data.train, numbers=data.train.numbers[:1], codes=data.train.codes[:1])
    with pytest.raises(StageFailure, match="2 train rows"):
        MLP(width=16).train(dataclasses.replace(data, train=one, train_target=data.train_target[:1]), context())


def test_a_single_class_is_survived() -> None:
    data = task(Kind.BINARY)
    data = dataclasses.replace(
        data, train_target=np.zeros_like(data.train_target), valid_target=np.zeros_like(data.valid_target)
    )
    reports = Reports()
    trained = MLP(width=16, epochs=3).train(data, context(reports=reports))  # ROC AUC is undefined: log loss decides
    assert np.isfinite(reports.column("valid")).all()
    assert trained.valid_scores[:, 0].mean() > 0.5


def test_constant_target_is_survived() -> None:
    data = task(Kind.REGRESSION)
    data = dataclasses.replace(
        data, train_target=np.full_like(data.train_target, 5.0), valid_target=np.full_like(data.valid_target, 5.0)
    )
    trained = MLP(width=16, epochs=5).train(data, context())
    assert np.abs(trained.valid_scores - 5).max() < 2


def test_read_only_arrays_are_fine() -> None:
    data = task(Kind.REGRESSION, embed=True)
    for array in (data.train.numbers, data.train.codes, data.train_target, data.valid.numbers, data.valid.codes):
        array.setflags(write=False)
    MLP(width=16, epochs=1).train(data, context())


def test_random_state_and_threads_of_the_process_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    MLP(width=16, epochs=1).train(task(Kind.BINARY), context())
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_reports_each_epoch_in_the_unit_of_the_metric() -> None:
    data, reports = task(Kind.BINARY), Reports()
    trained = MLP(width=16, epochs=3).train(data, context(reports=reports))
    assert [epoch for epoch, _ in reports.seen] == [1, 2, 3]
    told = {"train_loss", "valid", "learning_rate", "samples_per_s", "planned_steps", "peak_memory_mb"}
    assert set(reports.seen[0][1]) == told
    assert score("roc_auc", data.facts, data.valid_target, trained.valid_scores) == pytest.approx(
        max(reports.column("valid")), abs=1e-9
    )


def test_target_shift_is_kept_out_of_classification() -> None:
    artifact = MLP(width=16, epochs=1).train(task(Kind.MULTICLASS), context()).artifact
    assert isinstance(artifact, NetworkArtifact)
    assert artifact.weights["target_scale"] == 1
    assert not any("num_batches_tracked" in name for name in artifact.weights)


def test_applies_to_tables_only() -> None:
    facts = facts_of(Kind.BINARY, 2)
    assert MLP.applies(facts, Slot(index=0)) is None
    reason = MLP.applies(dataclasses.replace(facts, modality=Modality.IMAGES), Slot(index=0))
    assert reason is not None
    assert "images" in reason
