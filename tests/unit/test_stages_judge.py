"""A twin is judged by figures: worse than the tolerance, or neither smaller nor faster, is said in words."""

from typing import Any

import numpy as np
import pytest

from autoopt.errors import StageFailure
from autoopt.stages.contract import VerifiedArtifact
from autoopt.stages.judge import judge_twin, relative_loss
from autoopt.stages.parity import compare_scores, features_difference, require_scores_parity
from autoopt.strategies.model import Features
from autoopt.task.facts import Kind, Modality, TaskFacts
from autoopt.values import Direction, Measurement


def _facts(kind: Kind = Kind.BINARY, direction: Direction = "maximize") -> TaskFacts:
    return TaskFacts(
        name="t",
        modality=Modality.TABULAR,
        kind=kind,
        metric="roc_auc" if kind.classifies else "rmse",
        metric_direction=direction,
        target="y",
        classes=("a", "b") if kind.classifies else (),
        numeric_classes=False,
        columns=(),
        rows={},
        fingerprint="f",
    )


def _artifact(quality: float, size_bytes: int, low_ms: float, high_ms: float) -> VerifiedArtifact:
    speed = {"p50_ms": (low_ms + high_ms) / 2, "p95_ms": high_ms, "low_ms": low_ms, "high_ms": high_ms}
    latency: dict[str, Any] = {"batch_1": speed, "batch_256": speed, "threads": 1}
    return VerifiedArtifact(
        role="float",
        artifact_key="k",
        file="/f",
        sha256="s",
        size_bytes=size_bytes,
        recipe={},
        valid=Measurement(value=quality),
        test=None,
        latency=latency,
        parity={},
    )


FLOAT = _artifact(0.9, 1000, 0.10, 0.12)


def test_a_good_twin_has_no_reason() -> None:
    assert judge_twin(_facts(), FLOAT, _artifact(0.899, 300, 0.05, 0.06), 0.01) == ""


def test_smaller_alone_and_faster_alone_are_enough() -> None:
    assert judge_twin(_facts(), FLOAT, _artifact(0.9, 300, 0.20, 0.30), 0.01) == ""
    assert judge_twin(_facts(), FLOAT, _artifact(0.9, 1500, 0.05, 0.06), 0.01) == ""


def test_a_loss_beyond_the_tolerance_is_said_with_figures() -> None:
    reason = judge_twin(_facts(), FLOAT, _artifact(0.8, 300, 0.05, 0.06), 0.01)
    assert "11.11% of roc_auc" in reason
    assert "0.8 against 0.9" in reason
    assert "neither" not in reason


def test_a_gain_inside_the_noise_is_no_gain() -> None:
    reason = judge_twin(_facts(), FLOAT, _artifact(0.9, 1000, 0.09, 0.11), 0.01)
    assert "neither smaller" in reason


def test_a_tolerance_of_zero_allows_no_loss_but_equality() -> None:
    assert judge_twin(_facts(), FLOAT, _artifact(0.9, 300, 0.05, 0.06), 0.0) == ""
    assert judge_twin(_facts(), FLOAT, _artifact(0.8999, 300, 0.05, 0.06), 0.0) != ""


def test_for_a_metric_to_minimize_an_increase_is_a_loss() -> None:
    facts = _facts(Kind.REGRESSION, "minimize")
    assert relative_loss(facts, 2.0, 2.2) == pytest.approx(0.1)
    assert relative_loss(facts, 2.0, 1.8) == pytest.approx(-0.1)
    assert relative_loss(facts, 0.0, 0.0) == 0.0
    assert relative_loss(facts, 0.0, 0.1) == float("inf")


def test_parity_holds_within_the_tolerance_and_for_one_rerouted_row() -> None:
    expected = np.full((500, 2), 0.5)
    assert compare_scores(_facts(), expected, expected + 9e-5).holds
    routed = expected.copy()
    routed[7] = (0.9, 0.1)
    parity = compare_scores(_facts(), expected, routed)
    assert (parity.holds, parity.rows_beyond) == (True, 1)
    assert parity.max_abs_difference == pytest.approx(0.4)


def test_parity_fails_beyond_it_and_the_message_has_the_figures() -> None:
    expected = np.full((500, 2), 0.5)
    wrong = expected.copy()
    wrong[:2] = (0.9, 0.1)
    parity = compare_scores(_facts(), expected, wrong)
    assert not parity.holds
    with pytest.raises(StageFailure, match="2 of 500 rows") as caught:
        require_scores_parity(parity)
    assert caught.value.reason == "parity"


def test_regression_is_judged_by_the_spread_of_the_values() -> None:
    facts = _facts(Kind.REGRESSION, "minimize")
    expected = np.linspace(0, 1e6, 1000)[:, None]
    assert compare_scores(facts, expected, expected + 20.0).holds
    assert not compare_scores(facts, expected, expected + 40.0).holds


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_told_as_such(bad: float) -> None:
    found = np.full((5, 2), 0.5)
    found[3, 0] = bad
    with pytest.raises(StageFailure) as caught:
        compare_scores(_facts(), np.full((5, 2), 0.5), found)
    assert caught.value.reason == "not_finite"


def test_another_shape_is_no_parity() -> None:
    with pytest.raises(StageFailure, match="shape"):
        compare_scores(_facts(), np.zeros((5, 2)), np.zeros((5, 3)))


def _features(numbers: list[list[float]], codes: list[list[int]]) -> Features:
    return Features(numbers=np.array(numbers, dtype=np.float32), codes=np.array(codes, dtype=np.int64))


def test_features_differ_by_codes_by_missing_values_and_by_numbers() -> None:
    base = _features([[1.0, np.nan], [2000.0, 3.0]], [[1], [2]])
    assert features_difference(base, base) == 0.0
    assert features_difference(base, _features([[1.0, np.nan], [2002.0, 3.0]], [[1], [2]])) == pytest.approx(1e-3)
    assert features_difference(base, _features([[1.0, np.nan], [2000.0, 3.0]], [[1], [3]])) == float("inf")
    assert features_difference(base, _features([[1.0, 0.0], [2000.0, 3.0]], [[1], [2]])) == float("inf")
    assert features_difference(base, _features([[1.0], [2000.0]], [[1], [2]])) == float("inf")
    infinite = _features([[1.0, np.nan], [np.inf, 3.0]], [[1], [2]])
    assert features_difference(base, infinite) == float("inf")
