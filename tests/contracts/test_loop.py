"""What the loop promises for every planner: budgets exact, nothing twice, nothing stuck, every fault recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_faults import picture, violations
from support_loop import (
    DONE,
    NEVER,
    TINY_SPACE,
    Ending,
    Script,
    ScriptedExecutor,
    Sessions,
    SteppedClock,
    always,
    crash,
    measures_of,
)
from support_space import small_space

from autoopt.executors import Failed, Finished, Progress
from autoopt.orchestrator import StopReason
from autoopt.orchestrator.rungs import judged_step
from autoopt.orchestrator.shared_training import training_of
from autoopt.planners import Climb
from autoopt.space import Recipe, Space, load_space
from autoopt.space.domains import Choice, Dimension
from autoopt.strategies import catalogue
from autoopt.strategies.deploying.mending import only_mends
from autoopt.values import FailureReason, TrialState


@pytest.fixture(params=["random", "optuna"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(folder=tmp_path, planner=request.param)
    made.create()
    yield made
    if (tmp_path / "autoopt.db").exists() and made.planner == "optuna":
        assert violations(tmp_path, settled=True) == []


@pytest.mark.parametrize("slots", [1, 4])
def test_a_budget_of_trials_is_kept_exactly(sessions: Sessions, slots: int) -> None:
    sessions.slots, sessions.trials = slots, 9
    executor = sessions.executor(lambda recipe, _: Ending(after_polls=1 + len(recipe) % 3))
    assert sessions.run(executor) is StopReason.TRIALS
    assert sum(t.state.counts for t in sessions.rows()) == 9
    assert executor.most_at_once == slots


def test_a_failure_counts_and_a_crash_that_passes_does_not_count_twice(sessions: Sessions) -> None:
    sessions.slots, sessions.trials = 2, 6
    kinds = [FailureReason.CRASHED, FailureReason.ERROR, FailureReason.HUNG, None]

    def script(recipe: Recipe, tries: int) -> Ending:
        return Ending(reason=kinds[recipe.sha256.encode()[0] % 4]) if tries == 0 else DONE

    assert sessions.run(sessions.executor(script)) is StopReason.TRIALS
    assert sum(t.state.counts for t in sessions.rows()) == 6
    assert set(sessions.states()) <= {"complete", "failed", "duplicate"}


def test_what_was_measured_is_recorded_and_the_known_good_come_first(sessions: Sessions) -> None:
    sessions.trials = 3
    sessions.run()
    rows = sessions.rows()
    assert [t.recipe["model"] for t in rows] == ["line", "forest", "net"]
    assert [t.source for t in rows] == ["portfolio"] * 3
    for row in rows:
        assert {k: m.value for k, m in row.measures.items()} == measures_of(Recipe(row.recipe))
        assert sessions.attempts(row.number) == [("done", "")]


@pytest.mark.parametrize("reason", [FailureReason.CRASHED, FailureReason.HUNG])
def test_an_attempt_that_died_is_tried_again_and_then_given_up(sessions: Sessions, reason: FailureReason) -> None:
    sessions.trials = 1
    assert sessions.run(sessions.executor(always(Ending(reason=reason)))) is StopReason.TRIALS
    (row,) = sessions.rows()
    assert (row.state, row.reason, row.message) == (TrialState.FAILED, reason.value, "as the script says")
    assert sessions.attempts(0) == [("failed", reason.value)] * 3


def test_a_third_attempt_that_ends_well_is_a_result(sessions: Sessions) -> None:
    sessions.trials = 1
    sessions.run(sessions.executor(lambda _, tries: crash() if tries < 2 else DONE))
    assert sessions.states() == ["complete"]
    assert sessions.attempts(0) == [("failed", "crashed"), ("failed", "crashed"), ("done", "")]


@pytest.mark.parametrize(
    "reason",
    [FailureReason.OUT_OF_MEMORY, FailureReason.ERROR, FailureReason.NOT_FINITE, FailureReason.PARITY],
)
def test_what_lies_in_the_recipe_is_not_tried_again(sessions: Sessions, reason: FailureReason) -> None:
    sessions.trials = 1
    sessions.run(sessions.executor(always(Ending(reason=reason))))
    assert sessions.states() == ["failed"]
    assert sessions.attempts(0) == [("failed", reason.value)]


def test_what_there_was_no_time_for_costs_no_trial_and_is_tried_again_when_resumed(sessions: Sessions) -> None:
    sessions.trials = 3
    first = sessions.executor(lambda _, __: Ending(reason=FailureReason.NO_TIME) if len(first.submitted) < 2 else DONE)
    assert sessions.run(first) is StopReason.TRIALS
    late = sessions.rows()[0]
    assert (late.state, late.reason, late.message) == (TrialState.STOPPED, "no_time", "as the script says")
    assert sessions.states().count("complete") == 3
    sessions.trials = 4
    second = sessions.executor()
    sessions.run(second)
    assert second.submitted[0].sha256 == late.recipe_sha256


def test_limits_make_a_trial_infeasible_and_its_values_stay(sessions: Sessions) -> None:
    sessions.trials, sessions.limits = 8, ("latency_ms<=1",)
    sessions.run()
    rows = sessions.rows()
    assert {t.state for t in rows} == {TrialState.COMPLETE, TrialState.INFEASIBLE}
    for row in rows:
        assert (row.measures["latency_ms"].value > 1) == (row.state is TrialState.INFEASIBLE)
        assert len(row.measures) == 3
        assert row.artifact_key
        if row.state is TrialState.INFEASIBLE:
            assert row.message.startswith("latency_ms<=1 broken: ")


def test_a_recipe_that_is_infeasible_before_training_counts_and_says_why(sessions: Sessions) -> None:
    sessions.trials, sessions.limits = 2, ("size_bytes<=1",)
    early = Ending(infeasible="size_bytes<=1", measures={"size_bytes": 5000.0})
    sessions.run(sessions.executor(always(early)))
    assert sessions.states() == ["infeasible"] * 2
    assert [t.message for t in sessions.rows()] == ["size_bytes<=1"] * 2


def test_a_space_without_anything_new_ends_the_study(tmp_path: Path) -> None:
    for planner in ("random", "optuna"):
        folder = tmp_path / planner
        folder.mkdir()
        sessions = Sessions(folder=folder, planner=planner, slots=2, trials=100, space=small_space(TINY_SPACE))
        sessions.create()
        executor = sessions.executor(always(Ending(after_polls=2)))
        assert sessions.run(executor) is StopReason.EXHAUSTED
        counted = [t.recipe_sha256 for t in sessions.rows() if t.state.counts]
        assert len(counted) == len(set(counted)) == 3
        assert len(executor.submitted) == 3
        duplicates = [t for t in sessions.rows() if t.state is TrialState.DUPLICATE]
        assert duplicates
        assert all(sessions.rows()[t.duplicate_of or 0].recipe == t.recipe for t in duplicates)
        assert sessions.run() is StopReason.EXHAUSTED  # and stays so when it is resumed
        assert violations(folder, settled=True) == [] if planner == "optuna" else True


def test_a_duplicate_of_what_is_running_is_neither_run_nor_recorded(tmp_path: Path) -> None:
    sessions = Sessions(folder=tmp_path, slots=3, trials=3, space=small_space(TINY_SPACE))
    sessions.create()
    executor = sessions.executor(always(Ending(after_polls=5)))
    sessions.run(executor)
    assert len(set(executor.submitted)) == len(executor.submitted) == 3
    assert violations(tmp_path, settled=True) == []


def test_stopping_ends_what_runs_and_records_it(sessions: Sessions) -> None:
    sessions.slots, sessions.trials = 2, 4
    executor = sessions.executor(always(NEVER))
    with sessions.loop(executor) as loop:
        executor.on_poll = loop.stop
        assert loop.run() is StopReason.USER
    assert sessions.states() == ["stopped"] * 2
    assert sessions.attempts(0) == sessions.attempts(1) == [("stopped", "stopped")]


def test_time_ends_what_runs_and_records_it(sessions: Sessions) -> None:
    sessions.slots = 2
    executor, clock = sessions.executor(always(NEVER)), SteppedClock(started=0.0, before_s=0.0, budget_s=None)
    executor.on_poll = lambda: setattr(clock, "now_s", clock.now_s + 1.0)
    sessions.clock = clock
    assert sessions.run(executor, until_s=3.0) is StopReason.TIME
    assert sessions.states() == ["stopped"] * 2
    assert clock.now_s == 4.0  # one poll to end them


def test_a_result_that_comes_while_stopping_is_kept(sessions: Sessions) -> None:
    sessions.trials = 4
    executor = sessions.executor()
    with sessions.loop(executor) as loop:
        executor.on_poll = loop.stop  # the same poll brings the result
        assert loop.run() is StopReason.USER
    assert sessions.states() == ["complete"]


def test_a_retry_that_can_no_longer_begin_is_stopped_and_not_left_running(sessions: Sessions) -> None:
    """The attempt crashes as the user stops: nobody would be there for the trial that still owes a result."""
    sessions.trials = 4
    executor = sessions.executor(always(crash()))
    with sessions.loop(executor) as loop:
        executor.on_poll = loop.stop
        assert loop.run() is StopReason.USER
    assert sessions.states() == ["stopped"]
    assert sessions.attempts(0) == [("failed", "crashed")]


def test_stopped_recipes_come_first_when_resumed(sessions: Sessions) -> None:
    sessions.slots, sessions.trials = 2, 6
    first = sessions.executor(lambda _, __: DONE if len(first.submitted) < 4 else NEVER)
    with sessions.loop(first) as loop:
        first.on_poll = lambda: loop.stop() if len(first.submitted) >= 5 else None
        loop.run()
    stopped = [Recipe(t.recipe) for t in sessions.rows() if t.state is TrialState.STOPPED]
    assert stopped
    second = sessions.executor()
    assert sessions.run(second) is StopReason.TRIALS
    assert set(second.submitted[: len(stopped)]) == set(stopped)
    assert [t.source for t in sessions.rows() if t.source == "again"] == ["again"] * len(stopped)
    assert sum(t.state.counts for t in sessions.rows()) == 6


def test_what_a_dead_orchestrator_left_running_is_tried_afresh(sessions: Sessions) -> None:
    """The number stays, the lost attempts say nothing against the recipe."""
    sessions.slots, sessions.trials = 2, 5
    sessions.die()
    assert sessions.states() == ["running"] * 2
    sessions.run(sessions.executor(lambda _, tries: crash() if tries < 2 else DONE))
    assert sessions.states()[:2] == ["complete"] * 2
    assert [s for s, _ in sessions.attempts(0)] == ["lost", "failed", "failed", "done"]
    assert sum(t.state.counts for t in sessions.rows()) == 5


def test_time_that_is_up_leaves_nothing_running_of_what_was_owed(sessions: Sessions) -> None:
    sessions.slots = 2
    sessions.die()
    idle = sessions.executor()
    assert sessions.run(idle, until_s=0.0) is StopReason.TIME
    assert idle.submitted == []
    assert sessions.states() == ["stopped"] * 2


def test_events_of_unknown_tokens_change_nothing(sessions: Sessions) -> None:
    sessions.trials = 2
    executor = sessions.executor()
    result = executor.result(Recipe({"model": "line", "fill": "median"}))
    executor.extra = [
        Finished(token="never-given", result=result),
        Failed(token="nor-this", reason=FailureReason.ERROR, message="x"),
    ]
    sessions.run(executor)
    assert sessions.states() == ["complete"] * 2


def test_a_second_ending_of_the_same_attempt_changes_nothing(sessions: Sessions) -> None:
    sessions.trials = 3
    executor = sessions.executor()

    def again() -> None:
        executor.extra = [
            Finished(token=j.token, result=executor.result(Recipe(j.payload["recipe"]), Ending(measures={})))
            for j in executor.jobs[:-1]
        ]

    executor.on_poll = again
    sessions.run(executor)
    assert sessions.states() == ["complete"] * 3
    assert all(len(t.measures) == 3 for t in sessions.rows())


def test_a_result_that_the_ledger_refuses_is_not_counted(sessions: Sessions) -> None:
    """Somebody ended the attempt behind the loop's back: its token is stale."""
    sessions.trials = 2
    executor = sessions.executor(always(Ending(after_polls=2)))
    with sessions.loop(executor) as loop:
        done: list[bool] = []

        def meddle() -> None:
            if not done:
                done.append(True)
                loop._writer.recover()

        executor.on_poll = meddle
        loop.run()
    states = sessions.states()
    assert states[0] in ("running", "stopped")
    assert sum(t.state.counts for t in sessions.rows()) == 2
    sessions.trials = 3
    sessions.run()
    assert sum(t.state.counts for t in sessions.rows()) == 3


def test_learning_curves_are_recorded(sessions: Sessions) -> None:
    sessions.trials = 1
    sessions.run(sessions.executor(always(Ending(steps=3))))
    from autoopt.ledger import Ledger

    with Ledger.open(sessions.url, create=False) as ledger:
        points = [(s.step, s.name) for s in ledger.steps("s", 0)]
    assert points == [(0, "loss"), (1, "loss"), (2, "loss")]


def test_a_job_says_what_the_worker_must_know(sessions: Sessions) -> None:
    sessions.trials, sessions.limits, sessions.slots = 2, ("latency_ms<=9",), 2
    executor = sessions.executor(lambda _, tries: DONE if tries else crash())
    sessions.run(executor)
    payloads = [j.payload for j in executor.jobs]
    assert {p["seed"] for p in payloads} == {7}
    assert {p["quiet"] for p in payloads} == {False}
    assert {tuple(p["limits"]) for p in payloads} == {("latency_ms<=9",)}
    assert sorted(p["attempt"] for p in payloads) == [0, 0, 1, 1]


def test_a_session_of_a_finished_study_starts_nothing(sessions: Sessions) -> None:
    sessions.trials = 3
    sessions.run()
    before = picture(sessions.folder)
    idle = sessions.executor()
    assert sessions.run(idle) is StopReason.TRIALS
    assert idle.submitted == []
    assert before is not None
    after = picture(sessions.folder)
    assert after is not None
    assert after.trials == before.trials


def test_more_trials_go_on_where_the_study_stood(sessions: Sessions) -> None:
    sessions.trials = 3
    sessions.run()
    before = picture(sessions.folder)
    sessions.trials = 5
    executor = ScriptedExecutor(store=sessions.folder / "store")
    assert sessions.run(executor) is StopReason.TRIALS
    assert len(executor.submitted) == 2
    assert sum(t.state.counts for t in sessions.rows()) == 5
    if sessions.planner == "optuna":
        assert violations(sessions.folder, before, settled=True) == []


def test_a_training_that_others_beat_at_a_rung_is_pruned_and_counts(sessions: Sessions) -> None:
    sessions.slots = 4
    executor, told = sessions.executor(always(NEVER)), False

    def tell() -> None:
        """Once: four trainings at a third of their way, the last one worst."""
        nonlocal told
        if told:
            return
        told = True
        for place, job in enumerate(executor.jobs):
            values = {"valid": 0.9 - 0.2 * place, "planned_steps": 30.0}
            executor.extra.append(Progress(token=job.token, stage="train", step=10, values=values))

    with sessions.loop(executor) as loop:

        def watch() -> None:
            tell()
            if len(executor.jobs) > 4:  # the slot was given to another trial
                loop.stop()

        executor.on_poll = watch
        assert loop.run() is StopReason.USER
    ended = {t.number: t for t in sessions.rows()}
    pruned = [t for t in ended.values() if t.state is TrialState.PRUNED]
    assert len(pruned) == 1
    assert (pruned[0].reason, pruned[0].artifact_key) == ("rung", "")
    assert "3 of the 3 others that came to step 10 of 30" in pruned[0].message


def test_a_resumed_study_compares_with_the_trainings_of_before(sessions: Sessions) -> None:
    def run(valid: float, *, trials: int) -> None:
        """Each trial tells that quality at a third of its way."""
        executor, told = sessions.executor(always(Ending(after_polls=3))), set[str]()
        sessions.trials = trials

        def tell() -> None:
            for token in {job.token for job, _, _ in executor.at_work} - told:
                told.add(token)
                values = {"valid": valid, "planned_steps": 30.0}
                executor.extra.append(Progress(token=token, stage="train", step=10, values=values))

        executor.on_poll = tell
        assert sessions.run(executor) is StopReason.TRIALS

    run(0.9, trials=3)
    run(0.1, trials=4)
    last = max((t for t in sessions.rows() if t.state.counts), key=lambda t: t.number)
    assert last.state is TrialState.PRUNED
    assert "3 of the 3 others" in last.message


def test_fine_tuning_and_signs_of_life_are_at_no_rung() -> None:
    told = {"valid": 0.9, "planned_steps": 3.0}
    assert judged_step(Progress(token="t", stage="train", step=2, values=told)) == 2
    assert judged_step(Progress(token="t", stage="train", step=2)) is None
    assert judged_step(Progress(token="t", stage="shrink", step=2, values=told)) is None


def test_no_two_slots_are_at_the_same_training(sessions: Sessions) -> None:
    """Recipes that only deploy otherwise wait for the one that trains, and are then run."""
    forms = ("none", "static_int8", "dynamic_int8")
    dimensions = (
        Dimension(name="model", domain=Choice(values=("net", "line"))),
        Dimension(name="quantize", domain=Choice(values=forms)),
    )
    first = tuple(Recipe({"model": "net", "quantize": form}) for form in forms)
    sessions.space = Space(name="forms", dimensions=dimensions, portfolio=first)
    sessions.slots = 4
    executor = sessions.executor(always(Ending(after_polls=3)))
    together: list[int] = []

    def watch() -> None:
        trainings = [training_of(Recipe(job.payload["recipe"])) for job, _, _ in executor.at_work]
        together.append(len(trainings) - len(set(trainings)))

    executor.on_poll = watch
    assert sessions.run(executor) is StopReason.EXHAUSTED
    assert max(together) == 0
    assert sum(t.state is TrialState.COMPLETE for t in sessions.rows()) == 6


@pytest.mark.parametrize("slots", [1, 3])
def test_a_study_that_climbs_ends_where_no_form_is_left_that_could_be_of_use(tmp_path: Path, slots: int) -> None:
    space = load_space("graph", catalogue())

    def measured(drop: float) -> Script:
        measures = {"quality": 0.9, "latency_ms": 0.1, "size_bytes": 10.0, "quality_drop": drop}
        return lambda recipe, _: Ending(measures=measures, after_polls=1 + len(recipe) % 3)

    forms_in_turn, usual = space.portfolio, len(space.portfolio)
    mending = sum(any(only_mends(one, other) for other in forms_in_turn[:k]) for k, one in enumerate(forms_in_turn))
    assert mending > 0
    for name, drop, forms in (("whole", 0.1, usual - mending), ("lossy", 3.0, usual)):
        folder = tmp_path / name
        folder.mkdir()
        climb = Climb(usual_alone=True)
        sessions = Sessions(
            planner="random", folder=folder, slots=slots, limits=("quality_drop<=0.5%",), space=space, climb=climb
        )
        sessions.create()
        assert sessions.run(sessions.executor(measured(drop))) is StopReason.EXHAUSTED
        assert len(sessions.rows()) == forms
        assert sessions.run(sessions.executor(measured(drop))) is StopReason.EXHAUSTED  # and stays so
        assert len(sessions.rows()) == forms
