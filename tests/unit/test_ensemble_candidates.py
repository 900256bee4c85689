"""Which trials may become members: one of each training, the best of each kind of model first, none that is not to."""

from typing import Any

from support_bundle import trial_row

from autoopt.app.ensembling import MOST_CANDIDATES, candidate_trials, may_combine
from autoopt.ledger import TrialRow
from autoopt.space import load_space, pin
from autoopt.strategies import catalogue


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
