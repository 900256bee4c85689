"""A twin is judged by figures: it has to gain something and to lose nothing; what is wrong is said in words."""

from typing import Any

import numpy as np
import pytest

from autoopt.errors import StageFailure
from autoopt.stages.contract import VerifiedArtifact
from autoopt.stages.judge import bare_reason, compared, judge_twin, relative_loss
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


def _speed(low_ms: float, high_ms: float) -> dict[str, float]:
    return {"p50_ms": (low_ms + high_ms) / 2, "p95_ms": high_ms, "low_ms": low_ms, "high_ms": high_ms}


def _artifact(
    quality: float, size_bytes: int, low_ms: float, high_ms: float, batch: tuple[float, float] | None = None
) -> VerifiedArtifact:
    """`batch`: least and largest median of 256 rows; without it, those of one row."""
    single = _speed(low_ms, high_ms)
    latency: dict[str, Any] = {"batch_1": single, "batch_256": _speed(*batch) if batch else single, "threads": 1}
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


def test_a_twin_that_learned_by_valid_has_to_keep_the_tolerance_with_its_error() -> None:
    twin = _artifact(0.898, 300, 0.05, 0.06)
    assert judge_twin(_facts(), FLOAT, twin, 0.01, error=0.006) == ""
    reason = judge_twin(_facts(), FLOAT, twin, 0.01, error=0.009)
    assert "0.22% ± 1.00%" in reason
    assert "by which it learned when to stop" in reason
    assert "±" not in judge_twin(_facts(), FLOAT, _artifact(0.8, 300, 0.05, 0.06), 0.01)


def test_a_good_twin_has_no_reason() -> None:
    assert judge_twin(_facts(), FLOAT, _artifact(0.899, 300, 0.05, 0.06), 0.01) == ""


@pytest.mark.parametrize(
    "twin",
    [
        _artifact(0.9, 300, 0.10, 0.12),
        _artifact(0.9, 1000, 0.05, 0.06),
        _artifact(0.9, 1005, 0.10, 0.12, batch=(0.05, 0.06)),
    ],
    ids=["smaller", "faster", "faster-at-256"],
)
def test_one_gain_without_a_loss_is_enough(twin: VerifiedArtifact) -> None:
    assert judge_twin(_facts(), FLOAT, twin, 0.01) == ""


@pytest.mark.parametrize(
    "twin, why",
    [
        (_artifact(0.9, 300, 0.20, 0.30, batch=(0.05, 0.06)), "slower beyond the noise with one row (0.2500 ms"),
        (_artifact(0.9, 300, 0.05, 0.06, batch=(0.20, 0.30)), "slower beyond the noise with 256 rows (0.2500 ms"),
        (_artifact(0.9, 1500, 0.05, 0.06), "larger (1.5 kB against 1 kB)"),
        (
            _artifact(0.9, 1500, 0.2, 0.3),
            "larger (1.5 kB against 1 kB) and slower beyond the noise with one row (0.2500",
        ),
        (
            _artifact(0.9, 1000, 0.2, 0.3),
            "(0.2500 ms against 0.1100 ms) and with 256 rows (0.2500 ms against 0.1100 ms).",
        ),
    ],
)
def test_a_gain_does_not_make_up_for_a_loss(twin: VerifiedArtifact, why: str) -> None:
    reason = judge_twin(_facts(), FLOAT, twin, 0.01)
    assert why in reason
    assert "neither" not in reason


def test_a_difference_that_nobody_notices_is_none_however_still_the_machine_is() -> None:
    still = _artifact(0.9, 1000, 0.1000, 0.1001)
    assert judge_twin(_facts(), still, _artifact(0.9, 500, 0.1010, 0.1011), 0.01) == ""
    assert "neither" in judge_twin(_facts(), still, _artifact(0.9, 1000, 0.0990, 0.0991), 0.01)


def test_a_pair_is_compared_in_words() -> None:
    told = compared(_facts(), FLOAT, _artifact(0.8, 250, 0.04, 0.07, batch=(0.21, 0.23)))
    assert told == (
        "4.00 times smaller, 2.00 times faster with one row, 2.00 times slower with 256 rows, roc_auc on valid -0.1"
    )
    told = compared(_facts(), FLOAT, FLOAT)
    assert told.startswith("as large, as fast with one row, as fast with 256 rows")
    assert told.endswith("the same roc_auc on valid")


def test_a_reason_is_bare_without_its_head() -> None:
    reason = judge_twin(_facts(), FLOAT, _artifact(0.8, 300, 0.05, 0.06), 0.01)
    assert bare_reason(reason).startswith("it loses 11.11%")


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
