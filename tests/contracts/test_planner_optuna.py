"""What holds for Optuna's tables: the projection of the ledger that optuna.load_study and optuna-dashboard show."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import optuna
import pytest
from support_space import SMALL_SPACE, small_space

from autoopt.errors import LedgerUnavailable, SchemaMismatch, SpaceError
from autoopt.planners import KnownTrial, Planner, PlannerOutcome, RandomPlanner, forget_study
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Recipe, Space
from autoopt.values import DEFAULT_OBJECTIVES, Objective, TrialState, parse_objectives

pytest_plugins = ["support_ledger_fixtures"]

OBJECTIVES = parse_objectives(DEFAULT_OBJECTIVES, "maximize")
State = optuna.trial.TrialState
Open = Callable[..., OptunaPlanner]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'autoopt.db'}"


@pytest.fixture
def reopen(url: str) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_planner(
            space: Space | None = None,
            objectives: Sequence[Objective] = OBJECTIVES,
            sampler: optuna.samplers.BaseSampler | None = None,
        ) -> OptunaPlanner:
            planner = OptunaPlanner(
                storage_url=url,
                study_name="adult",
                space=space or small_space(),
                objectives=objectives,
                seed=3,
                sampler=sampler,
            )
            return stack.enter_context(planner)

        yield open_planner


@pytest.fixture
def load(url: str) -> Iterator[Callable[[], optuna.Study]]:
    """The study as a user's own Optuna code opens it."""
    opened = []

    def load_study() -> optuna.Study:
        storage = optuna.storages.RDBStorage(url)
        opened.append(storage)
        return optuna.load_study(study_name="adult", storage=storage)

    yield load_study
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def outcome(state: TrialState, *values: float, **constraints: float) -> PlannerOutcome:
    return PlannerOutcome(state=state, values=values or None, constraints=constraints)


def known(number: int, recipe: Recipe, end: PlannerOutcome) -> KnownTrial:
    return KnownTrial(number=number, recipe=recipe, outcome=end)


RUNNING = PlannerOutcome(state=TrialState.RUNNING)
GOOD = outcome(TrialState.COMPLETE, 0.9, 0.2, 1e5)


def test_optunas_own_tools_see_recipes_values_and_constraints(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    for end in (
        outcome(TrialState.COMPLETE, 0.9, 0.2, 1e5, latency=-0.8),
        outcome(TrialState.INFEASIBLE, 0.95, 3.0, 2e5, latency=2.0),
        outcome(TrialState.INFEASIBLE, latency=4.0),
        outcome(TrialState.PRUNED),
        outcome(TrialState.FAILED),
        outcome(TrialState.STOPPED),
        outcome(TrialState.DUPLICATE, 0.9, 0.2, 1e5, latency=-0.8),
        outcome(TrialState.COMPLETE, float("nan"), 0.2, 1e5),
    ):
        planner.tell(planner.ask().number, end)
    planner.ask()
    study = load()
    assert study.metric_names == ["quality", "latency_ms", "size_bytes"]
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.user_attrs["autoopt.objectives"][0] == "maximize quality"
    trials = study.trials
    states = [State.COMPLETE, State.COMPLETE, State.PRUNED, State.PRUNED, State.FAIL, State.FAIL, State.COMPLETE]
    assert [t.state for t in trials] == [*states, State.FAIL, State.RUNNING]
    assert trials[0].values == [0.9, 0.2, 1e5]
    assert [t.constraints.get("latency") for t in trials[:4]] == [-0.8, 2.0, 4.0, None]
    assert trials[2].values is None
    assert trials[1].params == dict(small_space().portfolio[1])
    assert trials[2].user_attrs["source"] == "portfolio"
    assert [t.number for t in study.best_trials] == [0, 6], "the infeasible one is no best"
    assert len(study.trials_dataframe()) == 9


def test_variants_have_parameters_of_their_own(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    for _ in range(12):
        planner.tell(planner.ask().number, GOOD)
    for trial in load().trials:
        tree = trial.params["model"] == "forest"
        assert ("fill" in trial.params, "fill#2" in trial.params) == (tree, not tree)


def test_a_trial_is_whole_from_the_moment_it_is_seen(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    proposal = reopen().ask()
    (trial,) = load().trials
    assert trial.state is State.RUNNING
    assert trial.params == {"model": "line", "fill#2": proposal.recipe["fill"]}


def test_a_result_that_optuna_missed_is_told(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    proposal = planner.ask()
    planner.close()
    end = outcome(TrialState.COMPLETE, 0.9, 0.2, 1e5, latency=-1.0)
    reopen().reconcile([known(0, proposal.recipe, end)])
    (trial,) = load().trials
    assert (trial.state, trial.values, trial.constraints) == (State.COMPLETE, [0.9, 0.2, 1e5], {"latency": -1.0})


def test_a_crash_between_a_constraint_and_the_tell_is_mended(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    proposal = planner.ask()
    study = load()
    optuna.trial.Trial(study, study.trials[0]._trial_id).set_constraint("latency", -1.0)
    planner.close()
    end = outcome(TrialState.COMPLETE, 0.9, 0.2, 1e5, latency=-1.0, size=-2.0)
    reopen().reconcile([known(0, proposal.recipe, end)])
    (trial,) = load().trials
    assert (trial.state, trial.constraints) == (State.COMPLETE, {"latency": -1.0, "size": -2.0})


def test_an_ask_that_the_ledger_never_saw_is_failed(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    first = planner.ask()
    planner.tell(0, GOOD)
    planner.ask()
    planner.close()
    planner = reopen()
    planner.reconcile([known(0, first.recipe, GOOD)])
    assert [t.state for t in load().trials] == [State.COMPLETE, State.FAIL]
    assert planner.ask().number == 2


def test_trials_that_optuna_lost_come_back_under_their_numbers(
    reopen: Open, load: Callable[[], optuna.Study], url: str
) -> None:
    planner = reopen()
    recipes = [planner.ask().recipe for _ in range(4)]
    planner.close()
    forget_study(url, "adult")
    infeasible = outcome(TrialState.INFEASIBLE, latency=1.0)
    ledger = [known(0, recipes[0], GOOD), known(2, recipes[2], infeasible), known(3, recipes[3], RUNNING)]
    planner = reopen()
    for _ in range(2):
        planner.reconcile(ledger)
    trials = load().trials
    assert [t.state for t in trials] == [State.COMPLETE, State.FAIL, State.PRUNED, State.RUNNING]
    assert trials[0].params["fill#2"] == recipes[0]["fill"]
    assert trials[2].constraints == {"latency": 1.0}
    planner.tell(3, GOOD)
    assert load().trials[3].values == [0.9, 0.2, 1e5]
    assert planner.ask().number == 4


def test_what_has_ended_stays_as_it_ended(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen()
    planner.tell(planner.ask().number, GOOD)
    planner.tell(0, outcome(TrialState.COMPLETE, 0.1, 9.0, 9.0))
    planner.tell(0, outcome(TrialState.FAILED))
    assert load().trials[0].values == [0.9, 0.2, 1e5]


class BrokenSampler(optuna.samplers.RandomSampler):
    """Fails in every way that numerical code does, one after the other."""

    errors = (ValueError("a"), RuntimeError("b"), ZeroDivisionError("c"), IndexError("d"), AssertionError("e"))
    calls = 0

    def sample_relative(self, study: object, trial: object, search_space: object) -> dict[str, object]:
        BrokenSampler.calls += 1
        raise self.errors[BrokenSampler.calls % len(self.errors)]


def test_a_sampler_that_breaks_is_replaced_by_chance(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    space = small_space()
    planner = reopen(sampler=BrokenSampler())
    for number in range(10):
        proposal = planner.ask()
        planner.tell(number, GOOD)
        assert space.contains(proposal.recipe)
        assert proposal.source == ("portfolio" if number < 3 else "random")
    assert BrokenSampler.calls == 7
    assert [t.state for t in load().trials] == [State.COMPLETE] * 10


def test_another_space_or_other_objectives_are_refused(reopen: Open) -> None:
    reopen().ask()
    with pytest.raises(SpaceError, match="another space"):
        reopen(small_space(SMALL_SPACE.replace("[32, 64, 128]", "[32, 64]").replace("net.width: 128", "net.width: 64")))
    with pytest.raises(SpaceError, match="other objectives"):
        reopen(objectives=parse_objectives(["quality", "size_bytes"], "maximize"))


def test_one_objective_will_do(reopen: Open, load: Callable[[], optuna.Study]) -> None:
    planner = reopen(objectives=parse_objectives(["quality"], "minimize"))
    for number in range(15):
        planner.ask()
        planner.tell(number, outcome(TrialState.COMPLETE, float(number), latency=number - 3.0))
    assert load().best_trial.number == 0


def test_better_than_chance(reopen: Open) -> None:
    """Of 60 proposals, the last 20 are far nearer to the optimum than chance comes."""

    def rates(planner: Planner) -> list[float]:
        found = []
        for number in range(60):
            found.append(float(planner.ask().recipe.get("forest.rate", 0.01)))
            planner.tell(number, outcome(TrialState.COMPLETE, found[-1]))
        return found[40:]

    single = parse_objectives(["quality"], "maximize")
    assert sum(rates(reopen(objectives=single))) > 2 * sum(rates(RandomPlanner(space=small_space(), seed=3)))


def test_it_neither_talks_nor_changes_how_the_users_optuna_talks(
    reopen: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planner = reopen()
        planner.tell(planner.ask().number, GOOD)
        planner.reconcile([])
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


def test_forgetting_a_study_removes_it_and_it_alone(reopen: Open, url: str) -> None:
    reopen().ask()
    other = OptunaPlanner(storage_url=url, study_name="other", space=small_space(), objectives=OBJECTIVES, seed=1)
    with other:
        other.ask()
    forget_study(url, "adult")
    forget_study(url, "adult")
    storage = optuna.storages.RDBStorage(url)
    assert [s.study_name for s in storage.get_all_studies()] == ["other"]
    storage.remove_session()
    storage.engine.dispose()


def test_every_kind_of_database_will_do(database_url: str) -> None:
    planner = OptunaPlanner(
        storage_url=database_url, study_name="s", space=small_space(), objectives=OBJECTIVES, seed=3
    )
    with planner:
        ledger = []
        for number in range(13):
            ledger.append(known(number, planner.ask().recipe, GOOD))
            planner.tell(number, GOOD)
        planner.reconcile(ledger)
        assert planner.ask().number == 13
    forget_study(database_url, "s")


def test_a_database_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"no database at all" * 100)
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("create table version_info (version_info_id integer, schema_version integer, library_version text)")
        old.execute("insert into version_info values (1, 3, '0.1')")
        old.commit()
    errors = {"nowhere/a.db": LedgerUnavailable, "junk.db": LedgerUnavailable, "old.db": SchemaMismatch}
    for name, kind in errors.items():
        url = f"sqlite:///{tmp_path / name}"
        with pytest.raises(kind, match="database"):
            OptunaPlanner(storage_url=url, study_name="s", space=small_space(), objectives=OBJECTIVES, seed=3)


@pytest.mark.slow  # Optuna tries five times, with pauses
def test_a_database_that_breaks_on_the_way_is_told(reopen: Open, tmp_path: Path) -> None:
    planner = reopen()
    planner.ask()
    with closing(sqlite3.connect(tmp_path / "autoopt.db")) as other:
        other.execute("drop table trial_params")
        other.commit()
    with pytest.raises(LedgerUnavailable, match="no such table"):
        planner.ask()


CHILD = """
    import sys
    sys.path.insert(0, {tests!r})
    from support_space import small_space
    from autoopt.planners import PlannerOutcome
    from autoopt.planners.optuna_planner import OptunaPlanner
    from autoopt.values import DEFAULT_OBJECTIVES, TrialState, parse_objectives

    planner = OptunaPlanner(
        storage_url={url!r}, study_name="adult", space=small_space(),
        objectives=parse_objectives(DEFAULT_OBJECTIVES, "maximize"), seed=3,
    )
    while True:
        proposal = planner.ask()
        print("asked", proposal.number, flush=True)
        planner.tell(proposal.number, PlannerOutcome(state=TrialState.COMPLETE, values=(0.9, 1.0, 2.0)))
        print("told", proposal.number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("line", ["told 0", "asked 5", "told 14"])
def test_kill_9_leaves_no_half_trial_and_nothing_running(
    line: str, reopen: Open, load: Callable[[], optuna.Study], url: str
) -> None:
    script = textwrap.dedent(CHILD.format(tests=str(Path(__file__).parent.parent), url=url))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        next(text for text in child.stdout if text.strip() == line)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    trials = load().trials
    space = small_space()
    for trial in trials:
        recipe = Recipe({key.split("#")[0]: value for key, value in trial.params.items()})
        assert space.contains(recipe), "a trial is whole or it is not there"
    ended = [t for t in trials if t.state is State.COMPLETE]
    ledger = [known(t.number, Recipe({k.split("#")[0]: v for k, v in t.params.items()}), GOOD) for t in ended]
    planner = reopen()
    planner.reconcile(ledger)
    assert all(t.state.is_finished() for t in load().trials)
    assert planner.ask().number == len(trials)
