"""What optimizers of graphs got wrong in the field, as their issue threads tell and a reading of their code confirms.

Absolute bounds that were dropped, a first trial that failed and ended the run, a missing cost that ranked first, no
model at all where none was feasible.
"""

from dataclasses import replace

import pytest
from support_bundle import trial_row

from autoopt.ledger import TrialRow
from autoopt.orchestrator.selection import best, cheapest, front, nearest_miss
from autoopt.values import (
    LATENCY_MS,
    QUALITY,
    SIZE_BYTES,
    Measurement,
    Objective,
    TrialState,
    broken,
    parse_limits,
    parse_objectives,
)

FAILED = replace(trial_row(0, 0.0, 1.0, 1), state=TrialState.FAILED, measures={}, artifact_key="")
GOOD, FAST = trial_row(1, 0.95, 2.0, 300), trial_row(2, 0.90, 0.5, 200)
OBJECTIVES: tuple[Objective, ...] = parse_objectives(["quality", "latency_ms", "size_bytes"], "maximize")


def without(row: TrialRow, measure: str) -> TrialRow:
    return replace(row, measures={name: m for name, m in row.measures.items() if name != measure})


def test_bounds_without_a_baseline_hold_each_by_itself() -> None:
    limits = parse_limits(["latency_ms<=1", "size_bytes<=250B", "quality>=0.92"])
    assert [str(x) for x in broken(limits, GOOD.measures)] == ["latency_ms<=1", "size_bytes<=250"]
    assert [str(x) for x in broken(limits, FAST.measures)] == ["quality>=0.92"]


def test_a_first_trial_that_failed_is_no_hindrance() -> None:
    rows = [FAILED, GOOD, FAST]
    assert best(rows, "maximize") is GOOD
    assert cheapest(rows, "maximize", 0.1, LATENCY_MS) is FAST
    assert front(rows, OBJECTIVES) == [GOOD, FAST]
    assert nearest_miss(rows, parse_limits(["latency_ms<=1"]), "maximize") is None
    assert best([FAILED], "maximize") is None
    assert front([FAILED], OBJECTIVES) == []


@pytest.mark.parametrize("measure", [LATENCY_MS, SIZE_BYTES])
def test_a_cost_that_is_missing_loses_and_breaks_its_limit(measure: str) -> None:
    unknown = without(trial_row(3, 0.95, 0.1, 1), measure)
    assert broken(parse_limits([f"{measure}<=1000000"]), unknown.measures)
    assert cheapest([unknown, GOOD, FAST], "maximize", 0.1, measure) is FAST
    only = (OBJECTIVES[0], next(o for o in OBJECTIVES if o.measure == measure))
    assert front([unknown, GOOD], only) == [GOOD]


def test_what_is_no_number_breaks_its_limit() -> None:
    for limit in ("quality>=0.5", "quality<=0.5", "latency_ms<=5"):
        measure = limit.partition("=")[0][:-1]
        assert broken(parse_limits([limit]), {measure: Measurement(value=float("nan"))})


def test_where_none_is_feasible_the_nearest_miss_is_there_to_be_exported() -> None:
    limits = parse_limits(["latency_ms<=0.4", "size_bytes<=100B"])
    rows = [replace(row, state=TrialState.INFEASIBLE) for row in (GOOD, FAST)]
    unmeasured = without(replace(trial_row(4, 0.99, 0.1, 90), state=TrialState.INFEASIBLE), LATENCY_MS)
    assert best(rows, "maximize") is None
    found = nearest_miss([FAILED, unmeasured, *rows], limits, "maximize")
    assert found is not None
    assert found.number == FAST.number
    assert QUALITY in found.measures
