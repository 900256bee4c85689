"""Axes and places of the charts."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_bundle import trial_row

from autoopt.ledger import TrialRow
from autoopt.report.charts import families, front_chart, history_chart
from autoopt.report.scales import Scale, latency_scale, quality_scale
from autoopt.values import Limit, TrialState

finite = st.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False)
latencies = st.floats(1e-4, 1e5, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=40), st.booleans())
def test_the_best_quality_is_on_the_axis_and_higher_up_is_better(values: list[float], rising: bool) -> None:
    scale = quality_scale(values, (), rising=rising)
    ranked = sorted(values, reverse=rising)
    places = [scale.at(v) for v in ranked]
    assert scale.holds(ranked[0])
    assert all(0 <= p <= 100 for p in places)
    assert places == sorted(places, reverse=True)


@given(st.lists(finite, min_size=1, max_size=40), st.booleans())
def test_ticks_lie_on_the_axis_and_differ(values: list[float], rising: bool) -> None:
    ticks = quality_scale(values, (), rising=rising).ticks()
    assert len(ticks) <= 8
    assert all(-0.01 <= t.at <= 100.01 for t in ticks)
    assert len({t.at for t in ticks}) == len(ticks)


@given(st.lists(latencies, min_size=1, max_size=40))
def test_latencies_rise_to_the_right(values: list[float]) -> None:
    scale = latency_scale(values)
    places = [scale.at(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(0 < p < 100 for p in places)
    assert 1 <= len(scale.ticks()) <= 8


def test_ticks_are_round() -> None:
    assert [t.text for t in Scale(low=0.0, high=1.0).ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [t.text for t in Scale(low=0.03, high=1.2, log=True).ticks()] == ["0.05", "0.1", "0.2", "0.5", "1"]
    assert [t.text for t in Scale(low=0.0311, high=0.0399, log=True).ticks()][:2] == ["0.032", "0.034"]
    assert [t.text for t in Scale(low=60.0, high=50.0).ticks()] == ["50", "52", "54", "56", "58", "60"]


def test_a_scale_without_a_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        latency_scale([0.0])


TRIALS = [
    trial_row(0, 0.90, 0.02, 3_000),
    trial_row(1, 0.95, 0.05, 9_000),
    trial_row(2, 0.94, 0.50, 90_000),
    trial_row(3, 0.96, 2.00, 900_000, state=TrialState.INFEASIBLE),
    trial_row(4, None, 3.00, 9e6, state=TrialState.INFEASIBLE),
    trial_row(5, 0.95, 0.05, 9_000, state=TrialState.DUPLICATE, duplicate_of=1),
    trial_row(6, None, state=TrialState.FAILED, reason="error", message="no"),
    trial_row(7, None, state=TrialState.STOPPED),
]


def chart(trials: list[TrialRow], **changes: Any) -> Any:
    given: dict[str, Any] = {"front": trials[:2], "best": trials[1], "limits": [], "rising": True, **changes}
    rising = given.pop("rising")
    return front_chart(trials, given["front"], given["best"], given["limits"], rising=rising)


def test_the_front_shows_each_measured_trial_once() -> None:
    found = chart(TRIALS)
    assert [p.look for p in found.points] == ["infeasible", "plain", "front", "best"]
    by_look = {p.look: p for p in found.points}
    assert by_look["front"].x < by_look["best"].x < by_look["plain"].x < by_look["infeasible"].x
    assert by_look["front"].y > by_look["best"].y > by_look["infeasible"].y
    assert by_look["front"].radius < by_look["plain"].radius < by_look["infeasible"].radius
    assert [s.text for s in found.sizes] == ["3 kB", "900 kB"]
    assert "trial 1: linear, quality 0.9500" in by_look["best"].title


def test_the_front_is_a_staircase_that_climbs() -> None:
    corners = [tuple(float(v) for v in pair.split(",")) for pair in chart(TRIALS).stairs.split()]
    assert len(corners) == 3
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))
    assert corners[0][1] > corners[-1][1]


def test_less_is_better_turns_the_axis_and_not_the_chart() -> None:
    turned = [trial_row(t.number, 1 - t.measures["quality"].value, 0.1 + t.number) for t in TRIALS[:3]]
    found = chart(turned, rising=False)
    by_look = {p.look: p for p in found.points}
    assert by_look["best"].y < by_look["front"].y
    assert float(found.y_ticks[0].text) < float(found.y_ticks[-1].text)
    assert found.y_ticks[0].at > found.y_ticks[-1].at


def test_limits_are_lines_where_they_fit_and_words_where_they_do_not() -> None:
    limits = [Limit.parse(x) for x in ("latency_ms<=1", "size_bytes<=5MB", "quality>=0.92", "latency_ms<=1e6")]
    found = chart(TRIALS, limits=limits)
    assert [line.text for line in found.x_limits] == ["1 ms"]
    assert [line.text for line in found.y_limits] == ["0.9200"]
    assert found.elsewhere == ("size_bytes<=5 MB", "latency_ms<=1000000")
    feasible = {p.look: p.x for p in found.points}
    assert feasible["plain"] < found.x_limits[0].at < feasible["infeasible"]


def test_what_lies_far_below_is_marked_and_counted() -> None:
    trials = [trial_row(n, 0.99 - n / 1000, 0.1) for n in range(6)] + [trial_row(9, 0.2, 0.1)]
    found = chart(trials)
    assert found.beyond == 1
    assert [p.beyond for p in found.points].count(True) == 1
    assert float(found.y_ticks[0].text) > 0.9


def test_without_figures_there_is_no_chart() -> None:
    assert front_chart([], [], None, [], rising=True) is None
    assert front_chart(TRIALS[4:], [], None, [], rising=True) is None
    assert front_chart([trial_row(0, 0.5)], [], None, [], rising=True) is None
    assert history_chart(TRIALS[6:], rising=True) is None
    assert families(TRIALS[6:], rising=True) == ()


def test_history_leaves_duplicates_out_and_never_gets_worse() -> None:
    found = history_chart(TRIALS, rising=True)
    assert found is not None
    assert len(found.points) == 4
    assert len(found.failed) == 1
    heights = [float(pair.split(",")[1]) for pair in found.best.split()]
    assert heights == sorted(heights, reverse=True)
    assert found.best.split()[-1].startswith("100.00,")
    assert [t.text for t in found.x_ticks][-1] == "6"


def test_one_trial_is_a_history() -> None:
    found = history_chart(TRIALS[:1], rising=True)
    assert found is not None
    assert [t.text for t in found.x_ticks] == ["1"]


def test_families_are_ranked_by_what_they_reached() -> None:
    trees = {"model": "decision_tree", "quantize": "compact"}
    trials = [*TRIALS[:3], trial_row(8, 0.97, 0.9, 100.0, recipe=trees), trial_row(9, 0.91, 0.8, 200.0, recipe=trees)]
    found = families(trials, rising=True)
    assert [(f.model, f.trials, f.best) for f in found] == [("decision_tree", 2, "0.9700"), ("linear", 3, "0.9500")]
    assert (found[0].latency, found[0].size) == ("0.800 ms", "100 B")
    assert [f.model for f in families(trials, rising=False)] == ["linear", "decision_tree"]
