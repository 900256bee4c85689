"""Metrics against scikit-learn's, their intervals, and the baseline."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from support_task import facts_of

from autoopt.errors import StageFailure
from autoopt.task import Kind, TaskFacts, bootstrap_interval, dummy_scores, score
from autoopt.task.scoring import difference_error

BINARY = facts_of(Kind.BINARY, 2)
FOUR = facts_of(Kind.MULTICLASS, 4)
VALUES = facts_of(Kind.REGRESSION)
Made = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def made(facts: TaskFacts, rows: int, seed: int) -> Made:
    """Targets and scores that know something of them, with ties."""
    generator = np.random.default_rng(seed)
    if facts.kind is Kind.REGRESSION:
        target = generator.normal(50, 3, rows)
        return target, (target + generator.normal(0, 1, rows))[:, None]
    classes = len(facts.classes)
    target = generator.integers(0, classes, rows)
    raw = generator.integers(1, 9, (rows, classes)) + 4.0 * np.eye(classes)[target]
    return target, raw / raw.sum(axis=1, keepdims=True)


CHECKS: list[tuple[str, TaskFacts, Callable[[Any, Any], float]]] = [
    ("roc_auc", BINARY, lambda y, s: sk.roc_auc_score(y, s[:, 1])),
    ("average_precision", BINARY, lambda y, s: sk.average_precision_score(y, s[:, 1])),
    ("accuracy", BINARY, lambda y, s: sk.accuracy_score(y, s.argmax(1))),
    ("log_loss", BINARY, lambda y, s: sk.log_loss(y, s, labels=[0, 1])),
    ("f1", BINARY, lambda y, s: sk.f1_score(y, s.argmax(1))),
    ("precision", BINARY, lambda y, s: sk.precision_score(y, s.argmax(1))),
    ("recall", BINARY, lambda y, s: sk.recall_score(y, s.argmax(1))),
    ("roc_auc", FOUR, lambda y, s: sk.roc_auc_score(y, s, multi_class="ovr", average="weighted")),
    ("accuracy", FOUR, lambda y, s: sk.accuracy_score(y, s.argmax(1))),
    ("log_loss", FOUR, lambda y, s: sk.log_loss(y, s, labels=[0, 1, 2, 3])),
    ("f1", FOUR, lambda y, s: sk.f1_score(y, s.argmax(1), average="macro")),
    ("precision", FOUR, lambda y, s: sk.precision_score(y, s.argmax(1), average="macro")),
    ("recall", FOUR, lambda y, s: sk.recall_score(y, s.argmax(1), average="macro")),
    ("rmse", VALUES, lambda y, s: sk.root_mean_squared_error(y, s[:, 0])),
    ("mae", VALUES, lambda y, s: sk.mean_absolute_error(y, s[:, 0])),
    ("r2", VALUES, lambda y, s: sk.r2_score(y, s[:, 0])),
]
NAMES = [f"{name}-{facts.kind.value}" for name, facts, _ in CHECKS]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "facts", "expected"), CHECKS, ids=NAMES)
def test_scores_are_those_of_scikit_learn(name: str, facts: TaskFacts, expected: Any, seed: int) -> None:
    target, scores = made(facts, 300, seed)
    assert score(name, facts, target, scores) == pytest.approx(expected(target, scores), rel=1e-12)


@pytest.mark.parametrize(("name", "facts", "expected"), CHECKS, ids=NAMES)
def test_intervals_hold_what_resampling_rows_gives(name: str, facts: TaskFacts, expected: Any) -> None:
    target, scores = made(facts, 400, 5)
    low, high = bootstrap_interval(name, facts, target, scores, rounds=300)
    generator = np.random.default_rng(11)
    drawn = [generator.integers(0, 400, 400) for _ in range(300)]
    slow = np.quantile([expected(target[d], scores[d]) for d in drawn], [0.025, 0.975])
    assert low < expected(target, scores) < high
    width = slow[1] - slow[0]
    assert [low, high] == pytest.approx(slow.tolist(), abs=0.25 * width)


def test_intervals_repeat_and_a_sample_of_many_rows_gives_one_as_narrow() -> None:
    target, scores = made(BINARY, 60_000, 1)
    narrow = bootstrap_interval("roc_auc", BINARY, target, scores)
    assert bootstrap_interval("roc_auc", BINARY, target, scores) == narrow
    few = bootstrap_interval("roc_auc", BINARY, target[:10_000], scores[:10_000])
    assert (narrow[1] - narrow[0]) == pytest.approx((few[1] - few[0]) / 6**0.5, rel=0.3)
    assert narrow[0] < score("roc_auc", BINARY, target, scores) < narrow[1]


def test_auc_of_one_class_is_undefined_and_does_not_warn() -> None:
    scores = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert np.isnan(score("roc_auc", BINARY, np.array([1, 1]), scores))
    low, high = bootstrap_interval("roc_auc", BINARY, np.array([1, 1]), scores)
    assert np.isnan([low, high]).all()


def test_a_class_that_does_not_occur_does_not_count() -> None:
    target, scores = made(FOUR, 300, 2)
    kept = target != 3
    assert score("roc_auc", FOUR, target[kept], scores[kept]) > 0.5
    assert score("recall", FOUR, target[kept], np.eye(4)[target[kept]]) == 1.0


def test_scores_that_are_not_finite_fail_the_candidate() -> None:
    with pytest.raises(StageFailure, match="1 of 2") as caught:
        score("rmse", VALUES, np.array([1.0, 2.0]), np.array([[1.0], [np.nan]]))
    assert caught.value.reason == "not_finite"
    with pytest.raises(ValueError, match="shape"):
        score("accuracy", BINARY, np.array([0, 1]), np.zeros((2, 3)))


def test_the_baseline_looks_at_no_column() -> None:
    target = np.array([0, 0, 0, 1])
    assert dummy_scores(BINARY, target, 3).tolist() == [[0.75, 0.25]] * 3
    values = np.array([1.0, 2.0, 9.0])
    assert dummy_scores(VALUES, values, 2).tolist() == [[4.0], [4.0]]
    assert dummy_scores(facts_of(Kind.REGRESSION, metric="mae"), values, 1).tolist() == [[2.0]]
    assert score("roc_auc", BINARY, target, dummy_scores(BINARY, target, 4)) == 0.5


def test_the_error_of_a_difference_is_that_of_the_rows_where_two_differ() -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 2, 4000)
    right = np.eye(2)[target]
    wrong_in = [np.eye(2)[np.where(random.random(4000) < share, 1 - target, target)] for share in (0.2, 0.02)]
    found = [difference_error("accuracy", BINARY, target, right, wrong) for wrong in wrong_in]
    for error, share in zip(found, (0.2, 0.02), strict=True):
        assert error == pytest.approx(np.sqrt(share * (1 - share) / 4000), rel=0.2)
    assert difference_error("accuracy", BINARY, target, wrong_in[0], wrong_in[0]) == 0.0
    many, scores = np.tile(target, 10), [np.tile(values, (10, 1)) for values in (right, wrong_in[0])]
    assert difference_error("accuracy", BINARY, many, *scores) == pytest.approx(found[0] / np.sqrt(10), rel=0.2)
