"""The losses are what they are named after, for class numbers and for shares of classes."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support_learning import CLASSES, judge_of, perceptron, plan_of, rows_of
from support_network import Reports, facts_of
from torch.nn import functional

from autoopt.strategies.learning.loss import OF_CLASSES, OF_VALUES, Loss
from autoopt.strategies.learning.source import TensorSource
from autoopt.strategies.learning.training_loop import fit
from autoopt.task.facts import Kind
from autoopt.values import Slot

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0], [0.0, 0.0, 9.0]])
TARGET = torch.tensor([0, 2, 1, 1])


@settings(deadline=None)  # the first call imports torch
@given(smoothing=st.floats(0, 0.3))
def test_focal_without_gamma_is_cross_entropy(smoothing: float) -> None:
    found = Loss(kind="focal", gamma=0.0, label_smoothing=smoothing).function(classifies=True)(LOGITS, TARGET)
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, TARGET, label_smoothing=smoothing))


def test_focal_weighs_rows_by_what_is_missing_of_their_class() -> None:
    of_class = LOGITS.softmax(1)[torch.arange(4), TARGET]
    expected = ((1 - of_class) ** 2 * -of_class.log()).mean()
    torch.testing.assert_close(Loss(kind="focal", gamma=2.0).function(classifies=True)(LOGITS, TARGET), expected)


@pytest.mark.parametrize("kind", OF_CLASSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_of_one_class_are_that_class(kind: str, smoothing: float) -> None:
    loss = Loss(kind=kind, label_smoothing=smoothing).function(classifies=True)
    shares = functional.one_hot(TARGET, CLASSES).float()
    torch.testing.assert_close(loss(LOGITS, shares), loss(LOGITS, TARGET))


@pytest.mark.parametrize("kind", OF_CLASSES)
def test_of_mixed_targets_it_lies_between_those_of_the_classes(kind: str) -> None:
    loss = Loss(kind=kind).function(classifies=True)
    row = LOGITS[:1]
    ends = [loss(row, torch.tensor([[1.0, 0.0, 0.0]])), loss(row, torch.tensor([[0.0, 1.0, 0.0]]))]
    torch.testing.assert_close(loss(row, torch.tensor([[0.3, 0.7, 0.0]])), 0.3 * ends[0] + 0.7 * ends[1])


def test_label_smoothing_keeps_a_network_from_being_too_sure() -> None:
    def surest(recipe: Mapping[str, Any]) -> float:
        network = perceptron()
        fit(network, TensorSource(*((x,), y)), judge_of(4), plan_of({**fast, **recipe}, epochs=40), Reports())
        return float(network(x).softmax(1).max(1).values.mean().detach())

    (x, y), fast = rows_of(4), {"optimizer.learning_rate": 0.03}
    assert surest({"loss.label_smoothing": 0.3}) < surest({}) - 0.05


def test_huber_is_squared_up_to_delta_and_straight_beyond() -> None:
    loss = Loss(kind="huber", delta=0.5).function(classifies=False)
    found = [float(loss(torch.tensor([[error]]), torch.zeros(1, 1))) for error in (0.4, 2.0, 3.0)]
    assert found == pytest.approx([0.5 * 0.4**2, 0.5 * (2.0 - 0.25), 0.5 * (3.0 - 0.25)])


def test_left_out_it_is_cross_entropy_or_squared_error() -> None:
    assert type(Loss().function(classifies=True)) is torch.nn.CrossEntropyLoss
    assert type(Loss().function(classifies=False)) is torch.nn.MSELoss


@pytest.mark.parametrize(("kind", "fitting"), [(Kind.MULTICLASS, OF_CLASSES), (Kind.REGRESSION, OF_VALUES)])
def test_losses_of_the_other_kind_are_refused_with_the_reason(kind: Kind, fitting: tuple[str, ...]) -> None:
    facts = facts_of(kind, CLASSES if kind.classifies else 0)
    for name in (*OF_CLASSES, *OF_VALUES):
        reason = Loss.value_applies(name, facts, Slot(index=0))
        assert (reason is None) == (name in fitting)
        assert reason is None or name in reason
