"""What every planner promises (autoopt/planners/base.py), on real databases where there is one."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support_space import SMALL_SPACE, small_space

from autoopt.errors import SpaceError
from autoopt.planners import KnownTrial, Planner, PlannerOutcome, Proposal, RandomPlanner
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Choice, Dimension, Recipe, Space
from autoopt.values import DEFAULT_OBJECTIVES, TrialState, parse_objectives

OBJECTIVES = parse_objectives(DEFAULT_OBJECTIVES, "maximize")
Open = Callable[..., Planner]
"""Opens the same study again, as a new process would: `open(space, seed=1)`."""


@pytest.fixture(params=["random", "optuna"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_planner(space: Space | None = None, *, seed: int = 1) -> Planner:
            space = space or small_space()
            if request.param == "random":
                return stack.enter_context(RandomPlanner(space=space, seed=seed))
            url = f"sqlite:///{tmp_path / 'autoopt.db'}"
            planner = OptunaPlanner(storage_url=url, study_name="s", space=space, objectives=OBJECTIVES, seed=seed)
            return stack.enter_context(planner)

        yield open_planner


def complete(*values: float, **constraints: float) -> PlannerOutcome:
    return PlannerOutcome(state=TrialState.COMPLETE, values=values, constraints=constraints)


def run(planner: Planner, count: int) -> list[KnownTrial]:
    """Ask and tell; returns the trials as a ledger would have them."""
    trials = []
    for _ in range(count):
        proposal = planner.ask()
        outcome = complete(0.5 + proposal.number / 1000, 1.0 + proposal.number % 7, 1e5 / (1 + proposal.number % 5))
        planner.tell(proposal.number, outcome)
        trials.append(KnownTrial(number=proposal.number, recipe=proposal.recipe, outcome=outcome))
    return trials


def still_running(proposal: Proposal) -> KnownTrial:
    outcome = PlannerOutcome(state=TrialState.RUNNING)
    return KnownTrial(number=proposal.number, recipe=proposal.recipe, outcome=outcome)


def test_proposals_are_in_the_space_and_numbered_without_gaps(reopen: Open) -> None:
    space, trials = small_space(), run(reopen(), 40)
    assert [t.number for t in trials] == list(range(40))
    for trial in trials:
        assert space.contains(trial.recipe)
        assert {n.split(".")[0] for n in trial.recipe if "." in n} <= {trial.recipe["model"], "rule"}
        assert ("rule.momentum" in trial.recipe) == (trial.recipe.get("rule") == "sgd")
    assert {t.recipe["model"] for t in trials} == {"forest", "net", "line"}


def test_every_value_of_a_small_space_is_reached_with_python_types(reopen: Open) -> None:
    trials = run(reopen(), 60)
    assert {t.recipe["fill"] for t in trials} == {"native", "median", "mean"}
    assert {t.recipe["shrink"] for t in trials if "shrink" in t.recipe} == {"none", "compact", "int8"}
    types = {name: type(value) for t in trials for name, value in t.recipe.items()}
    assert types["forest.depth"] is int
    assert types["net.width"] is int
    assert types["forest.rate"] is float
    assert types["net.norm"] is bool
    assert types["model"] is str


def test_the_portfolio_comes_first_in_its_order_once(reopen: Open) -> None:
    space = small_space()
    planner = reopen()
    first = [planner.ask() for _ in range(5)]
    assert [p.recipe for p in first[:3]] == list(space.portfolio)
    assert [p.source for p in first[:3]] == ["portfolio"] * 3
    assert all(p.source in ("sampler", "random") for p in first[3:])


def test_a_resumed_study_goes_on_with_the_portfolio_where_the_ledger_stands(reopen: Open) -> None:
    planner = reopen()
    trials = run(planner, 2)
    planner.close()
    planner = reopen()
    planner.reconcile(trials)
    assert planner.ask().recipe == small_space().portfolio[2]
    assert planner.ask().source != "portfolio"


def test_a_portfolio_recipe_whose_ask_died_before_it_was_recorded_comes_again(reopen: Open) -> None:
    planner = reopen()
    trials = run(planner, 1)
    lost = planner.ask()
    planner.close()
    planner = reopen()
    planner.reconcile(trials)
    again = planner.ask()
    assert again.recipe == lost.recipe
    assert again.source == "portfolio"


def test_a_resumed_planner_does_not_repeat_itself(reopen: Open) -> None:
    planner = reopen()
    trials = run(planner, 20)
    planner.close()
    planner = reopen()
    planner.reconcile(trials)
    recipes = [t.recipe for t in trials] + [t.recipe for t in run(planner, 20)]
    lines = sum(r["model"] == "line" for r in recipes)
    assert len(set(recipes)) >= len(recipes) - max(lines - 2, 0), "`line` has two recipes; nothing else may repeat"


def test_the_same_seed_and_results_give_the_same_proposals(reopen: Open, tmp_path: Path) -> None:
    planner = reopen()
    first = run(planner, 25)
    planner.close()
    for file in tmp_path.glob("autoopt.db*"):
        file.unlink()
    assert [t.recipe for t in run(reopen(), 25)] == [t.recipe for t in first]


OUTCOMES = {
    "complete": complete(0.9, 1.0, 2.0),
    "complete with constraints": complete(0.9, 1.0, 2.0, latency=-0.5),
    "infeasible, measured": PlannerOutcome(
        state=TrialState.INFEASIBLE, values=(0.9, 9.0, 2.0), constraints={"latency": 8.0}
    ),
    "infeasible before training": PlannerOutcome(state=TrialState.INFEASIBLE, constraints={"latency": 8.0}),
    "pruned": PlannerOutcome(state=TrialState.PRUNED),
    "failed": PlannerOutcome(state=TrialState.FAILED),
    "stopped": PlannerOutcome(state=TrialState.STOPPED),
    "duplicate": PlannerOutcome(state=TrialState.DUPLICATE, values=(0.9, 1.0, 2.0)),
    "not a number": complete(math.nan, 1.0, 2.0),
    "infinite": complete(0.9, math.inf, 2.0),
    "a value missing": complete(0.9, 1.0),
    "no values": PlannerOutcome(state=TrialState.COMPLETE),
    "infinite excess": PlannerOutcome(state=TrialState.INFEASIBLE, constraints={"a": math.inf, "b": math.nan}),
}


def test_every_outcome_is_taken_twice_and_the_planner_goes_on(reopen: Open) -> None:
    planner = reopen()
    for _ in range(3):
        for name, outcome in OUTCOMES.items():
            number = planner.ask().number
            planner.tell(number, outcome)
            planner.tell(number, outcome)
            assert planner.ask().number == number + 1, name


def test_a_number_that_was_never_proposed_is_an_error(reopen: Open) -> None:
    planner = reopen()
    planner.ask()
    with pytest.raises(KeyError):
        planner.tell(7, complete(1.0, 1.0, 1.0))


def test_queued_recipes_come_before_the_rest_of_the_portfolio(reopen: Open) -> None:
    space, planner = small_space(), reopen()
    run(planner, 1)
    other = Recipe({"model": "line", "fill": "mean"})
    planner.enqueue([other, other])
    planner.enqueue([other])
    asked = [planner.ask() for _ in range(3)]
    assert [p.recipe for p in asked] == [other, *space.portfolio[1:]]
    assert asked[0].source == "queued"
    planner.enqueue([other])
    assert planner.ask().recipe != other, "it runs already"


def test_a_stopped_recipe_can_be_queued_again_after_a_resume(reopen: Open) -> None:
    planner = reopen()
    proposal = planner.ask()
    planner.tell(proposal.number, PlannerOutcome(state=TrialState.STOPPED))
    planner.close()
    planner = reopen()
    stopped = PlannerOutcome(state=TrialState.STOPPED)
    planner.reconcile([KnownTrial(number=0, recipe=proposal.recipe, outcome=stopped)])
    planner.enqueue([proposal.recipe])
    again = planner.ask()
    assert (again.number, again.recipe) == (1, proposal.recipe)


def test_a_recipe_outside_the_space_is_refused(reopen: Open) -> None:
    with pytest.raises(SpaceError, match="is not in the space 'small'"):
        reopen().enqueue([Recipe({"model": "line", "fill": "native"})])


def test_a_space_that_is_used_up_gives_duplicates_and_not_an_error(reopen: Open) -> None:
    space = Space(name="tiny", dimensions=(Dimension(name="model", domain=Choice(values=("a", "b", "c"))),))
    recipes = [t.recipe for t in run(reopen(space), 30)]
    assert len(set(recipes[:3])) == 3, "all that is new comes before anything is repeated"
    assert len(set(recipes)) == 3


def test_a_branch_that_is_used_up_does_not_hold_the_search(reopen: Open) -> None:
    """`line` has two recipes and is best on two objectives: TPE alone would propose it for ever."""
    planner = reopen(small_space(SMALL_SPACE.split("portfolio:")[0]))
    recipes = []
    for _ in range(60):
        proposal = planner.ask()
        good = proposal.recipe["model"] == "line"
        planner.tell(proposal.number, complete(0.7 if good else 0.8, 0.01 if good else 1.0, 10.0 if good else 1e5))
        recipes.append(proposal.recipe)
    assert len(set(recipes)) >= 55


def test_reconcile_takes_what_the_ledger_has_and_twice_is_once(reopen: Open) -> None:
    planner = reopen()
    trials = run(planner, 6)
    running = planner.ask()
    planner.close()
    planner = reopen()
    ledger = [*trials, still_running(running)]
    planner.reconcile(ledger)
    planner.reconcile(ledger)
    planner.tell(running.number, complete(0.9, 1.0, 2.0))
    after = planner.ask()
    assert after.number == 7
    assert after.recipe not in {t.recipe for t in ledger}
