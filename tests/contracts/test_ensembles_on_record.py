"""An ensemble has a number of its own, enters the ledger whole, and uses up none of the budget."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_space import small_space

from autoopt.ledger import Ledger, TrialOutcome
from autoopt.planners import KnownTrial, Planner, PlannerOutcome, RandomPlanner
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Recipe
from autoopt.values import DEFAULT_OBJECTIVES, Budget, Measurement, TrialState, parse_objectives

RECIPE = Recipe({"model": "ensemble", "quantize": "none"})
DONE = PlannerOutcome(state=TrialState.COMPLETE, values=(0.9, 1.0, 2.0))


@pytest.fixture(params=["random", "optuna"])
def planner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Planner]:
    if request.param == "random":
        yield RandomPlanner(space=small_space(), seed=1)
        return
    objectives = parse_objectives(DEFAULT_OBJECTIVES, "maximize")
    url = f"sqlite:///{tmp_path / 'autoopt.db'}"
    with OptunaPlanner(storage_url=url, study_name="s", space=small_space(), objectives=objectives, seed=1) as opened:
        yield opened


def test_a_reserved_number_lies_between_the_proposed_ones(planner: Planner) -> None:
    first = planner.ask()
    planner.tell(first.number, DONE)
    reserved = planner.reserve()
    planner.tell(reserved, DONE)
    planner.tell(reserved, DONE)
    after = planner.ask()
    assert (first.number, reserved, after.number) == (0, 1, 2)
    assert small_space().contains(after.recipe)


def test_reconciling_takes_an_ensemble_for_known_and_proposes_on(planner: Planner) -> None:
    proposed = planner.ask()
    trials = [
        KnownTrial(number=0, recipe=proposed.recipe, outcome=DONE),
        KnownTrial(number=planner.reserve(), recipe=RECIPE, outcome=DONE),
    ]
    planner.reconcile(trials)
    planner.reconcile(trials)
    recipes = []
    for _ in range(15):
        proposal = planner.ask()
        planner.tell(proposal.number, DONE)
        recipes.append(proposal.recipe)
    assert all(small_space().contains(r) for r in recipes)
    assert RECIPE not in recipes


def outcome(state: TrialState) -> TrialOutcome:
    return TrialOutcome(state=state, measures={"quality": Measurement(value=0.9)}, artifact_key="k", seconds=1.0)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.INFEASIBLE, TrialState.FAILED])
def test_a_result_enters_whole_once_and_counts_nowhere(tmp_path: Path, state: TrialState) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'autoopt.db'}", create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        with ledger.own("s") as writer:
            for _ in range(2):
                writer.record_result(0, RECIPE.to_json(), RECIPE.sha256, "ensemble", 0, outcome(state), [{"n": 0}])
            assert len(writer.pending_outbox(9)) == 1
        [trial], [attempt] = ledger.trials("s"), ledger.attempts("s")
        assert (trial.state, trial.source, trial.counts, trial.attempts) == (state, "ensemble", False, 1)
        assert attempt.finished_at is not None
        assert trial.measures["quality"].value == 0.9
        assert ledger.totals("s").counted == 0
