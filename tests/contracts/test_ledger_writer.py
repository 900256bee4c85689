"""What a study's writer promises, on every database."""

import math
import threading

import pytest
from sqlalchemy import create_engine, text
from support_ledger import DONE, QUALITY_MEASURE, SHA

from autoopt.errors import OwnershipLost
from autoopt.ledger import Ledger, OutboxRow, RungRow, StudyWriter, TrialOutcome
from autoopt.values import AttemptState, Budget, Measurement, StudyState, TrialState

pytest_plugins = ["support_ledger_fixtures"]


def _begin(writer: StudyWriter, number: int) -> str:
    writer.record_trial(number, {"model": "lightgbm", "n": number}, f"{number:064d}", "planner")
    return writer.start_attempt(number, 1)


def test_a_result_reads_back_whole(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        token = _begin(writer, 4)
        assert writer.finish_trial(token, 4, DONE, [{"kind": "trial", "number": 4}])
        [left] = writer.pending_outbox(10)
        assert left.payload == {"kind": "trial", "number": 4}
    [trial] = ledger.trials("s")
    assert trial.recipe == {"model": "lightgbm", "n": 4}
    assert (trial.number, trial.source, trial.state) == (4, "planner", TrialState.COMPLETE)
    assert trial.measures == QUALITY_MEASURE
    assert (trial.artifact_key, trial.artifact_sha256) == ("a" * 64, "b" * 64)
    assert trial.stages == [{"name": "train", "seconds": 1.0}]
    assert trial.notes == ["note"]
    assert (trial.seconds, trial.attempts, trial.slot_index, trial.duplicate_of) == (2.0, 1, 1, None)
    assert trial.finished_at is not None
    assert trial.finished_at >= trial.created_at
    assert ledger.referenced_artifacts() == {("deploy", "a" * 64)}


@pytest.mark.parametrize(
    ("state", "attempt_state"),
    [
        (TrialState.COMPLETE, AttemptState.DONE),
        (TrialState.INFEASIBLE, AttemptState.DONE),
        (TrialState.PRUNED, AttemptState.STOPPED),
        (TrialState.STOPPED, AttemptState.STOPPED),
        (TrialState.FAILED, AttemptState.FAILED),
    ],
)
def test_each_result_counts_in_its_place(ledger: Ledger, state: TrialState, attempt_state: AttemptState) -> None:
    with ledger.own("s") as writer:
        outcome = TrialOutcome(state=state, reason="hung", message="m", detail="d")
        assert writer.finish_trial(_begin(writer, 0), 0, outcome)
    totals = ledger.totals("s")
    assert getattr(totals, state.value) == 1
    assert totals.counted == int(state.counts)
    [attempt] = ledger.attempts("s")
    assert (attempt.state, attempt.reason, attempt.message, attempt.detail) == (attempt_state, "hung", "m", "d")


def test_a_trial_may_be_recorded_twice_but_not_with_another_recipe(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.record_trial(0, {"x": 1}, SHA, "portfolio")
        writer.record_trial(0, {"x": 1}, SHA, "portfolio")
        with pytest.raises(ValueError, match="another recipe"):
            writer.record_trial(0, {"x": 2}, "1" * 64, "portfolio")
    assert [t.recipe for t in ledger.trials("s")] == [{"x": 1}]


def test_attempts_count_up_and_only_the_newest_may_answer(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        first = _begin(writer, 0)
        with pytest.raises(ValueError, match="is running"):
            writer.start_attempt(0, 0)
        assert writer.finish_attempt(first, AttemptState.FAILED, "crashed", "signal 9", "stderr", 1.5)
        second = writer.start_attempt(0, 3)
        assert not writer.finish_attempt(first, AttemptState.DONE)
        assert not writer.record_steps(first, [(0, "loss", 1.0)])
        assert not writer.finish_trial(first, 0, DONE, [{"stale": True}])
        assert writer.pending_outbox(10) == []
        assert ledger.totals("s").running == 1
        assert writer.finish_trial(second, 0, DONE)
    assert [(a.attempt, a.state, a.reason) for a in ledger.attempts("s")] == [
        (0, AttemptState.FAILED, "crashed"),
        (1, AttemptState.DONE, ""),
    ]
    [trial] = ledger.trials("s")
    assert (trial.attempts, trial.slot_index) == (2, 3)


def test_a_stale_or_foreign_token_changes_nothing(ledger: Ledger) -> None:
    ledger.create_study("other", {}, Budget(trials=1))
    with ledger.own("s") as writer, ledger.own("other") as other:
        mine, foreign, second = _begin(writer, 0), _begin(other, 0), _begin(writer, 1)
        before = ledger.trials("s"), ledger.attempts("s")
        for token in (foreign, "no such token", second):
            assert not writer.finish_trial(token, 0, DONE, [{"x": 1}])
        assert not writer.finish_attempt(foreign, AttemptState.DONE)
        assert (ledger.trials("s"), ledger.attempts("s")) == before
        assert writer.finish_trial(mine, 0, DONE)
        assert ledger.totals("other").running == 1


def test_the_first_result_stays(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        token = _begin(writer, 0)
        assert writer.finish_trial(token, 0, DONE, [{"n": 1}])
        before = ledger.trials("s")
        failed = TrialOutcome(state=TrialState.FAILED, reason="hung")
        assert not writer.finish_trial(token, 0, failed, [{"n": 2}])
        assert not writer.finish_trial(None, 0, failed, [{"n": 3}])
        with pytest.raises(ValueError, match="has its result"):
            writer.start_attempt(0, 0)
        assert ledger.trials("s") == before
        assert [r.payload for r in writer.pending_outbox(10)] == [{"n": 1}]


def test_a_trial_can_end_between_two_attempts(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        token = _begin(writer, 0)
        writer.finish_attempt(token, AttemptState.FAILED, "crashed")
        assert writer.finish_trial(None, 0, TrialOutcome(state=TrialState.FAILED, reason="crashed"))
        running = _begin(writer, 1)
        assert writer.finish_trial(None, 1, TrialOutcome(state=TrialState.STOPPED))
        assert not writer.record_steps(running, [(1, "loss", 0.1)])
    assert [a.state for a in ledger.attempts("s")] == [AttemptState.FAILED, AttemptState.STOPPED]


def test_what_was_never_recorded_cannot_go_on(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        for call in (
            lambda: writer.start_attempt(9, 0),
            lambda: writer.finish_trial(None, 9, DONE),
            lambda: writer.record_final_measures({9: QUALITY_MEASURE}),
            lambda: writer.record_export(9, "float", "p", SHA, None),
            lambda: writer.record_duplicate(10, {}, SHA, 9),
        ):
            with pytest.raises(ValueError, match="trial 9 was never recorded"):
                call()
    assert ledger.trials("s") == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figures_must_be_finite(ledger: Ledger, value: float) -> None:
    bad = {"quality": Measurement(value=value)}
    with pytest.raises(ValueError, match="not finite"):
        TrialOutcome(state=TrialState.COMPLETE, measures=bad)
    with ledger.own("s") as writer:
        writer.finish_trial(_begin(writer, 0), 0, DONE)
        with pytest.raises(ValueError, match="not finite"):
            writer.record_final_measures({0: bad})
        with pytest.raises(ValueError, match="not finite"):
            writer.record_export(0, "float", "p", SHA, bad["quality"])
    assert ledger.trials("s")[0].measures == QUALITY_MEASURE


def test_learning_curves_keep_their_order_and_their_attempt(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        first = _begin(writer, 0)
        assert writer.record_steps(first, [(0, "loss", 1.0), (0, "quality", 0.5)])
        assert writer.record_steps(first, [])
        assert writer.record_steps(first, [(1, "loss", math.inf)])
        writer.finish_attempt(first, AttemptState.FAILED)
        writer.record_steps(writer.start_attempt(0, 0), [(0, "loss", 0.9)])
    rows = ledger.steps("s", 0)
    assert [(r.attempt, r.step, r.name) for r in rows] == [
        (0, 0, "loss"),
        (0, 0, "quality"),
        (0, 1, "loss"),
        (1, 0, "loss"),
    ]
    assert [r.value for r in rows if math.isfinite(r.value)] == [1.0, 0.5, 0.9]
    assert math.isnan(rows[2].value)
    assert ledger.steps("s", 5) == []


def test_a_duplicate_costs_nothing_and_is_told_once(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.finish_trial(_begin(writer, 0), 0, DONE)
        for _ in range(2):
            writer.record_duplicate(1, {"model": "lightgbm", "n": 0}, f"{0:064d}", 0, [{"kind": "duplicate"}])
        assert len(writer.pending_outbox(10)) == 1
    totals = ledger.totals("s")
    assert (totals.duplicate, totals.counted) == (1, 1)
    assert ledger.trials("s")[1].duplicate_of == 0
    assert ledger.trials("s")[1].state is TrialState.DUPLICATE


def test_final_measures_win_and_verdicts_leave_a_trace(ledger: Ledger) -> None:
    first = {"quality": Measurement(value=0.9), "latency_ms": Measurement(value=1.0, provisional=True)}
    final = {"latency_ms": Measurement(value=1.4, low=1.3, high=1.5)}
    with ledger.own("s") as writer:
        writer.finish_trial(_begin(writer, 0), 0, TrialOutcome(state=TrialState.COMPLETE, measures=first))
        writer.record_final_measures({0: final}, {0: (TrialState.INFEASIBLE, "latency_ms<=1.2")})
        [trial] = ledger.trials("s")
        assert trial.measures == {**first, **final}
        assert (trial.state, trial.reason) == (TrialState.INFEASIBLE, "latency_ms<=1.2")
        again = {"latency_ms": Measurement(value=1.1)}
        writer.record_final_measures({0: again}, {0: (TrialState.COMPLETE, "")})
        [trial] = ledger.trials("s")
        assert (trial.state, trial.measures["latency_ms"].value) == (TrialState.COMPLETE, 1.1)
        writer.finish_trial(_begin(writer, 1), 1, TrialOutcome(state=TrialState.FAILED))
        with pytest.raises(ValueError, match="cannot go from failed"):
            writer.record_final_measures({0: final}, {1: (TrialState.COMPLETE, "")})
        assert ledger.trials("s")[0].measures["latency_ms"].value == 1.1, "half a call was written"
    assert _column(ledger.url, "ao_measures", "value") == [0.9, 1.0, 1.4, 1.1]
    assert _column(ledger.url, "ao_verdicts", "state") == ["infeasible", "complete"]


def test_exports_are_kept_and_looks_at_the_test_split_counted(ledger: Ledger) -> None:
    score = Measurement(value=0.8, low=0.7, high=0.9)
    with ledger.own("s") as writer:
        writer.finish_trial(_begin(writer, 0), 0, DONE)
        writer.record_export(0, "float", "bundle/model.onnx", SHA, score)
        writer.record_export(0, "quantized", "bundle/model.quantized.onnx", SHA, score, artifact_key="c" * 64)
        writer.record_export(0, "float", "elsewhere/model.onnx", SHA, None)
        assert writer.test_looks() == 2
    exports = ledger.exports("s")
    assert (exports[0].number, exports[0].role, exports[0].path) == (0, "float", "bundle/model.onnx")
    assert [e.test for e in exports] == [score, score, None]
    assert ledger.referenced_artifacts() == {("deploy", "a" * 64), ("deploy", "c" * 64)}


def test_the_outbox_is_first_in_first_out_and_delivered_once(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.enqueue([{"n": n} for n in range(5)])
        writer.enqueue([])
        first = writer.pending_outbox(2)
        assert [r.payload["n"] for r in first] == [0, 1]
        writer.mark_delivered([r.id for r in first])
        delivered = _column(ledger.url, "ao_outbox", "delivered_at")
        writer.mark_delivered([r.id for r in first])
        assert _column(ledger.url, "ao_outbox", "delivered_at") == delivered
        writer.mark_delivered([])
        rest: list[OutboxRow] = writer.pending_outbox(100)
        assert [r.payload["n"] for r in rest] == [2, 3, 4]


def test_budget_and_state_are_kept(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.add_spent(1.5)
        writer.add_spent(2.0)
        writer.set_state(StudyState.FINISHED, "all 10 trials are done")
        writer.extend_budget(Budget(seconds=30.0, trials=5))
        writer.extend_budget(Budget())
    study = ledger.study("s")
    assert (study.spent_s, study.state, study.note) == (3.5, StudyState.FINISHED, "all 10 trials are done")
    assert study.budget == Budget(seconds=90.0, trials=15)


def test_a_bound_added_later_starts_from_what_is_used_up(ledger: Ledger) -> None:
    for name, budget in (("timed", Budget(seconds=9.0)), ("counted", Budget(trials=1))):
        ledger.create_study(name, {}, budget)
        with ledger.own(name) as writer:
            writer.add_spent(9.0)
            writer.finish_trial(_begin(writer, 0), 0, DONE)
            writer.extend_budget(Budget(seconds=5.0, trials=4))
    assert ledger.study("timed").budget == Budget(seconds=14.0, trials=5)
    assert ledger.study("counted").budget == Budget(seconds=14.0, trials=5)


@pytest.mark.parametrize(
    "more, expected",
    [
        (Budget(seconds=5.0), Budget(seconds=14.0, trials=None)),  # the spent number of trials no longer binds
        (Budget(trials=4), Budget(seconds=None, trials=5)),
    ],
)
def test_a_bound_that_is_used_up_gives_way_to_the_other(ledger: Ledger, more: Budget, expected: Budget) -> None:
    ledger.create_study("both", {}, Budget(seconds=8.0, trials=1))
    with ledger.own("both") as writer:
        writer.add_spent(9.0)
        writer.finish_trial(_begin(writer, 0), 0, DONE)
        writer.extend_budget(more)
    assert ledger.study("both").budget == expected


def test_recovering_twice_is_recovering_once(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.finish_trial(_begin(writer, 0), 0, DONE)
        _begin(writer, 2)
        writer.record_trial(1, {"x": 1}, SHA, "planner")  # its owner died before an attempt began
    with ledger.own("s") as writer:
        owed = writer.recover()
        assert [(t.number, t.attempts) for t in owed] == [(1, 0), (2, 1)]
        once = ledger.trials("s"), ledger.attempts("s"), ledger.totals("s")
        assert writer.recover() == owed
        assert (ledger.trials("s"), ledger.attempts("s"), ledger.totals("s")) == once
        assert [a.state for a in ledger.attempts("s")] == [AttemptState.DONE, AttemptState.LOST]
        assert writer.finish_trial(writer.start_attempt(2, 0), 2, DONE)
    assert ledger.trials("s")[2].attempts == 2


def test_recovering_one_study_leaves_the_others_alone(ledger: Ledger) -> None:
    ledger.create_study("other", {}, Budget(trials=1))
    with ledger.own("s") as writer, ledger.own("other") as other:
        token = _begin(writer, 0)
        assert other.recover() == []
        assert writer.finish_trial(token, 0, DONE)


def test_a_trial_without_a_result_has_no_final_measures(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        _begin(writer, 0)
        with pytest.raises(ValueError, match="no result yet"):
            writer.record_final_measures({0: QUALITY_MEASURE})


def test_text_that_databases_refuse_is_kept_readable(ledger: Ledger) -> None:
    outcome = TrialOutcome(state=TrialState.FAILED, reason="error", message="a\x00b \udc80 ü", detail="\x00" * 3)
    with ledger.own("s") as writer:
        assert writer.finish_trial(_begin(writer, 0), 0, outcome, [{"text": "a\x00\udc80"}])
        assert writer.pending_outbox(1)[0].payload == {"text": "a\x00\udc80"}
    [trial] = ledger.trials("s")
    assert trial.message == "a\\0b \\udc80 ü"


def test_a_writer_that_was_left_writes_no_more(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.add_spent(1.0)
    with pytest.raises(OwnershipLost, match="given study 's' back"):
        writer.add_spent(1.0)
    assert ledger.study("s").spent_s == 1.0


def test_threads_of_one_owner_do_not_lose_writes(ledger: Ledger) -> None:
    with ledger.own("s") as writer:

        def deliver() -> None:
            for _ in range(25):
                writer.enqueue([{}])
                writer.mark_delivered([r.id for r in writer.pending_outbox(5)])

        threads = [threading.Thread(target=deliver) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(25):
            assert writer.finish_trial(_begin(writer, number), number, DONE)
            writer.add_spent(1.0)
        for thread in threads:
            thread.join()
        writer.mark_delivered([r.id for r in writer.pending_outbox(1000)])
    assert ledger.study("s").spent_s == 25.0
    assert ledger.totals("s").complete == 25
    assert len(_column(ledger.url, "ao_outbox", "delivered_at")) == 75
    assert None not in _column(ledger.url, "ao_outbox", "delivered_at")


def _column(url: str, table: str, column: str) -> list[object]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(f"SELECT {column} FROM {table} ORDER BY id")).scalars())
    finally:
        engine.dispose()


def test_rungs_read_back_as_they_were_reached(ledger: Ledger) -> None:
    found = [
        RungRow(number=1, share=1 / 9, known={"quality": 0.4, "latency_ms": 0.1 + 0.2}),
        RungRow(number=0, share=1 / 9, known={"quality": 0.5}),
        RungRow(number=1, share=1 / 3, known={"quality": 0.6}),
    ]
    with ledger.own("s") as writer:
        for number in (0, 1):
            _begin(writer, number)
        for rung in found:
            writer.record_rung(rung)
        with pytest.raises(ValueError, match="not finite"):
            writer.record_rung(RungRow(number=0, share=1 / 3, known={"quality": math.nan}))
        with pytest.raises(ValueError, match="never recorded"):
            writer.record_rung(RungRow(number=7, share=1 / 3, known={"quality": 0.1}))
    assert ledger.rungs("s") == found
