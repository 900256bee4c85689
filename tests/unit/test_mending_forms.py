"""A form that only mends a loss of quality is tried where there is one, and nowhere else."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from support_bundle import study_row, trial_row

from autoopt.app.context import StudyContext
from autoopt.app.forms import passed_over
from autoopt.ledger import TrialRow
from autoopt.planners import Climb, KnownTrial, Planner, PlannerOutcome, Proposal, RandomPlanner
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Recipe, Space, load_space
from autoopt.strategies import catalogue
from autoopt.strategies.deploying.mending import only_mends
from autoopt.values import LATENCY_MS, QUALITY, QUALITY_DROP, Budget, Limit, Measurement, TrialState, parse_objectives

STATIC = {"quantize": "static_int8", "quantize.calibration": "minmax", "quantize.keep_float": 0}
PRUNED = {"prune": "channels", "prune.share": 0.3}
LIMIT = "quality_drop<=0.5"
OBJECTIVES = parse_objectives(("quality", "latency_ms", "size_bytes"), "maximize")
CONTEXT_FIELDS = [f.name for f in fields(StudyContext)]
WITHIN, BEYOND = 0.1, 5.0
"""Percent of quality lost."""


def mending(recipe: Recipe) -> bool:
    return recipe["quantize"] == "bf16" or (
        recipe["quantize"] == "static_int8"
        and (
            recipe["quantize.calibration"] != "minmax"
            or recipe["quantize.calibration_rows"] != 1024
            or recipe["quantize.keep_float"] != 0
            or bool(recipe.get("qat"))
        )
    )


Made = Callable[..., Planner]


@pytest.fixture(params=["random", "optuna"])
def planner(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    def made(space: Space, climb: Climb) -> Planner:
        if request.param == "random":
            return by_chance(space, climb)
        url = f"sqlite:///{tmp_path / 'autoopt.db'}"
        return OptunaPlanner(storage_url=url, study_name="s", space=space, objectives=OBJECTIVES, seed=1, climb=climb)

    return made


def by_chance(space: Space, climb: Climb) -> Planner:
    return RandomPlanner(space=space, seed=1, climb=climb)


def outcome(drop: float) -> PlannerOutcome:
    state = TrialState.INFEASIBLE if drop > 0.5 else TrialState.COMPLETE
    return PlannerOutcome(state=state, values=(0.9, 0.1, 100.0), constraints={LIMIT: drop - 0.5, "latency_ms<=1": 0.2})


def through(planner: Planner, losses: Callable[[Recipe], float], most: int = 40) -> list[Recipe]:
    """Everything that is proposed before there is nothing left, at most so much."""
    tried: list[Recipe] = []
    while len(tried) < most and (proposal := planner.ask()) is not None:
        planner.tell(proposal.number, outcome(losses(proposal.recipe)))
        tried.append(proposal.recipe)
    return tried


@pytest.mark.parametrize(
    ("finer", "plainer", "found"),
    [
        ({**STATIC, "quantize.calibration": "percentile"}, STATIC, True),
        ({**STATIC, "quantize.calibration_rows": 4096}, STATIC, True),
        ({**STATIC, "quantize.keep_float": 2}, {**STATIC, "quantize.keep_float": 1}, True),
        ({**STATIC, "qat": True, "qat.epochs": 2}, {**STATIC, "quantize.calibration": "percentile"}, True),
        ({**STATIC, "qat": True}, {**STATIC, "quantize.keep_float": 1}, False),  # fewer bytes than with a float layer
        ({"quantize": "bf16"}, {"quantize": "fp16"}, True),
        ({"quantize": "fp16"}, {"quantize": "bf16"}, False),
        ({"quantize": "fp16"}, STATIC, False),
        ({**PRUNED, **STATIC}, STATIC, False),
        ({**PRUNED, **STATIC, "qat": True}, {**PRUNED, **STATIC}, True),
        ({**PRUNED, **STATIC, "qat": True}, STATIC, False),
        (STATIC, STATIC, False),
    ],
)
def test_what_only_mends_is_the_same_form_at_no_less_cost(finer: dict, plainer: dict, found: bool) -> None:  # type: ignore[type-arg]
    assert only_mends(finer, plainer) is found


@pytest.mark.parametrize("name", ["graph", "built"])
def test_of_a_model_that_loses_nothing_each_form_is_tried_once(name: str) -> None:
    space = load_space(name, catalogue())
    tried = through(by_chance(space, Climb(usual_alone=True)), lambda _: WITHIN)
    assert tried == [r for r in space.portfolio if not mending(r)]
    assert len(tried) < len(space.portfolio) - 3


def test_climbing_ends_where_a_form_holds() -> None:
    def loss(recipe: Recipe) -> float:
        return BEYOND if recipe["quantize"] == "static_int8" and recipe["quantize.keep_float"] < 1 else WITHIN

    tried = through(by_chance(load_space("graph", catalogue()), Climb(usual_alone=True)), loss)
    kept = [r["quantize.keep_float"] for r in tried if "quantize.keep_float" in r]
    assert kept[-1] == 1
    assert set(kept[:-1]) == {0}
    assert len(kept) > 3  # plain, other ranges, more rows, and one layer in float


def test_with_time_left_nothing_is_sampled_that_could_only_mend(planner: Made) -> None:
    space = load_space("graph", catalogue())
    with planner(space, Climb()) as climbing:
        assert not any(map(mending, through(climbing, lambda _: WITHIN)))
        assert climbing.ask() is None
    lossy = RandomPlanner(space=space, seed=1, climb=Climb())
    assert len(through(lossy, lambda _: BEYOND)) == 40


def test_it_waits_for_the_plainer_form_and_goes_on_alike_when_resumed(planner: Made) -> None:
    space = load_space("graph", catalogue())
    with planner(space, Climb(usual_alone=True)) as climbing:
        begun: list[Proposal] = []
        while (proposal := climbing.ask()) is not None:
            begun.append(proposal)
        assert not any(mending(p.recipe) for p in begun)
        known = [KnownTrial(number=p.number, recipe=p.recipe, outcome=outcome(BEYOND)) for p in begun]
        climbing.reconcile(known)
        assert (again := climbing.ask()) is not None
        assert mending(again.recipe)
        climbing.reconcile([KnownTrial(number=t.number, recipe=t.recipe, outcome=outcome(WITHIN)) for t in known])
        assert climbing.ask() is None


def test_what_is_added_to_the_budget_goes_beyond_the_usual_forms() -> None:
    space = load_space("graph", catalogue())
    usual, nothing = Budget(seconds=60.0, trials=len(space.portfolio)), dict.fromkeys(CONTEXT_FIELDS)

    def is_usual(budget: Budget, seconds: float | None = 60.0) -> bool:
        given = {"space": space, "study": study_row(budget=budget), "usual_forms_s": seconds}
        return StudyContext(**{**nothing, **given}).usual_alone

    assert is_usual(usual)
    assert not is_usual(usual, seconds=None), "a budget of the user's own"
    for more in (Budget(seconds=30.0), Budget(trials=1)):
        assert not is_usual(usual.extended(more, spent_s=27.0, counted=5))


def test_what_was_not_tried_is_told_with_the_form_that_lost_nothing() -> None:
    portfolio = load_space("graph", catalogue()).portfolio

    def row(number: int, drop: float) -> TrialRow:
        found = trial_row(number, 0.9, 0.1, 100, recipe=dict(portfolio[number]))
        measures = {QUALITY: 0.9, LATENCY_MS: 0.1, QUALITY_DROP: drop}
        return replace(found, measures={n: Measurement(value=v) for n, v in measures.items()})

    limits = (Limit.parse("quality_drop<=0.5%"),)
    plain = [n for n, r in enumerate(portfolio) if not mending(r)]
    told = passed_over(
        portfolio, [row(n, 0.1 if portfolio[n]["quantize"] == "static_int8" else 0.0) for n in plain], limits
    )
    count = len(portfolio) - len(plain)
    assert (
        told
        == f"{count} forms that only mend a loss of quality were not tried: static_int8 lost 0.1 %; fp16 lost nothing"
    )
    assert passed_over(portfolio, [row(n, 5.0) for n in plain], limits) == ""
