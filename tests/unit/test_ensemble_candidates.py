"""Which trials may become members: one of each training, the best of each kind of model first, none that is not to."""

from dataclasses import replace
from typing import Any

import pytest
from support_bundle import trial_row

from autoopt.app.ensemble_costs import Costs
from autoopt.app.ensembling import MOST_CANDIDATES, candidate_trials, may_combine
from autoopt.ledger import TrialRow
from autoopt.space import load_space, pin
from autoopt.strategies import catalogue
from autoopt.values import Limit, Measurement


def trial(number: int, quality: float, **recipe: Any) -> TrialRow:
    """A complete trial; fields of its recipe with __ for a dot."""
    named = {name.replace("__", "."): value for name, value in recipe.items()}
    return trial_row(number, quality, latency_ms=1.0, recipe=named)


def numbers(*trials: TrialRow) -> list[int]:
    return [t.number for t in candidate_trials(trials, "maximize")]


def test_one_training_stands_for_all_its_forms_in_float_where_it_can() -> None:
    compact = trial(0, 0.9, model="mlp", quantize="static_int8", quantize__calibration_rows=64)
    plain = trial(1, 0.9, model="mlp", quantize="none")
    mirrored = trial(2, 0.9, model="mlp", quantize="none", mirror=True)
    assert numbers(compact, plain, mirrored) == [1, 2]
    assert numbers(compact) == [0]


def test_ensembles_and_trials_that_do_not_want_to_are_left_out() -> None:
    wants, does_not = trial(0, 0.5, model="mlp", ensemble="greedy"), trial(1, 0.9, model="linear", ensemble="none")
    assert numbers(wants, does_not, trial(2, 0.9, model="ensemble")) == [0]


def test_the_best_of_each_kind_comes_before_the_second_of_any() -> None:
    trees = [trial(n, 0.9 - n / 1000, model="lightgbm", lightgbm__num_leaves=n) for n in range(20)]
    others = [trial(30, 0.6, model="linear"), trial(31, 0.5, model="mlp")]
    chosen = numbers(*trees, *others)
    assert len(chosen) == MOST_CANDIDATES
    assert chosen == [*range(MOST_CANDIDATES - 2), 30, 31]
    assert numbers(*others, *reversed(trees)) == chosen


def test_a_pinned_choice_does_without_them() -> None:
    space = load_space("tabular", catalogue())
    assert may_combine(space)
    assert may_combine(pin(space, ["ensemble=greedy"], catalogue()))
    without = pin(space, ["ensemble=none"], catalogue())
    assert not may_combine(without)
    assert all(recipe["ensemble"] == "none" for recipe in without.portfolio)


LIMITS = (Limit.parse("latency_ms<=3"), Limit.parse("size_bytes<=10MB"), Limit.parse("quality>=0.5"))


def costing(number: int, latency_ms: float, megabytes: float, **recipe: Any) -> TrialRow:
    measures = {"latency_ms": Measurement(value=latency_ms), "size_bytes": Measurement(value=megabytes * 1e6)}
    return replace(trial(number, 0.8, **recipe), measures=measures)


def test_members_costs_are_added_and_some_room_is_left_for_averaging() -> None:
    rows = {
        0: costing(0, 1.6, 3.0, model="residual_net"),
        1: costing(1, 1.0, 3.0, model="patch_net"),
        2: costing(2, 0.2, 6.5, model="mlp"),
    }
    costs = Costs(rows.values(), LIMITS)
    assert costs.fits([0, 1], rows), "2.6 of 2.7 ms"
    assert not costs.fits([0, 1, 2], rows), "2.8 ms"
    assert not costs.fits([1, 2], {**rows, 1: costing(1, 1.0, 3.0)}), "9.5 of 9 MB"
    assert Costs(rows.values(), LIMITS[2:]).fits([0, 1, 2], rows), "qualities are not added up"


def test_a_training_costs_what_its_cheapest_form_does() -> None:
    plain = costing(0, 1.8, 3.0, model="residual_net")
    small = costing(1, 0.6, 0.9, model="residual_net", quantize="static_int8")
    other = costing(2, 0.3, 0.9, model="residual_net", quantize="static_int8", mirror=True)
    costs = Costs([plain, small, other], LIMITS[:1])
    assert costs.cheapest(plain) == pytest.approx((0.6 / 2.7,))
    assert costs.own(plain) == pytest.approx((1.8 / 2.7,))
    unmeasured = replace(trial(9, 0.8, model="mlp"), measures={})
    assert costs.cheapest(unmeasured)[0] > 1e6, "what was never measured fits nowhere"
