"""A writer against a model of it in plain Python: whatever the order of calls, both say the same.

Tokens of all ages are offered, owners die and come back, and nothing that was once a result may ever change.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from autoopt.ledger import Ledger, Totals, TrialOutcome
from autoopt.values import AttemptState, Budget, Measurement, StudyState, TrialState

RESULTS = st.sampled_from([s for s in TrialState if s not in (TrialState.RUNNING, TrialState.DUPLICATE)])
ENDS = st.sampled_from([s for s in AttemptState if s is not AttemptState.RUNNING])
FIGURES = st.floats(allow_nan=False, allow_infinity=False, width=32)


class WriterMachine(RuleBasedStateMachine):
    """`self.trials`: number → state; `self.attempts`: token → [number, state]."""

    tokens: Bundle[str] = Bundle("tokens")
    numbers: Bundle[int] = Bundle("numbers")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.open(f"sqlite:///{Path(self.folder.name) / 'studies.db'}", create=True)
        self.ledger.create_study("s", {}, Budget(seconds=10.0, trials=3))
        self.trials: dict[int, TrialState] = {}
        self.quality: dict[int, float] = {}
        self.attempts: dict[str, tuple[int, AttemptState]] = {}
        self.told: list[int] = []
        self.epoch = 0
        self.spent_s = 0.0
        self.budget = Budget(seconds=10.0, trials=3)
        self.state = StudyState.OPEN
        self._own()

    def _own(self) -> None:
        self.owning = self.ledger.own("s")
        self.writer = self.owning.__enter__()
        self.epoch += 1

    @rule(target=numbers, source=st.sampled_from(["portfolio", "planner", "recipe", "again"]))
    def record(self, source: str) -> int:
        number = len(self.trials)
        self.writer.record_trial(number, {"n": number}, f"{number:064d}", source)  # type: ignore[arg-type]
        self.trials[number] = TrialState.RUNNING
        return number

    @rule(of=numbers)
    def duplicate(self, of: int) -> None:
        number = len(self.trials)
        self.writer.record_duplicate(number, {"n": of}, f"{of:064d}", of, [{"n": number}])
        self.trials[number] = TrialState.DUPLICATE
        self.told.append(number)

    @rule(target=tokens, number=numbers, slot=st.integers(0, 3))
    def start(self, number: int, slot: int) -> object:
        ready = self.trials[number] is TrialState.RUNNING and self._running(number) is None
        try:
            token = self.writer.start_attempt(number, slot)
        except ValueError:
            assert not ready
            return multiple()
        assert ready
        assert token not in self.attempts
        self.attempts[token] = (number, AttemptState.RUNNING)
        return token

    @rule(token=tokens, state=ENDS)
    def end_attempt(self, token: str, state: AttemptState) -> None:
        number, before = self.attempts[token]
        done = self.writer.finish_attempt(token, state, "crashed")
        assert done == (before is AttemptState.RUNNING)
        if done:
            self.attempts[token] = (number, state)

    @rule(token=tokens, step=st.integers(0, 9), value=FIGURES)
    def curve(self, token: str, step: int, value: float) -> None:
        known = len(self.ledger.steps("s", self.attempts[token][0]))
        accepted = self.writer.record_steps(token, [(step, "loss", value)])
        assert accepted == (self.attempts[token][1] is AttemptState.RUNNING)
        assert len(self.ledger.steps("s", self.attempts[token][0])) == known + accepted

    @rule(token=tokens, number=numbers, state=RESULTS, quality=FIGURES)
    def finish_with_any_token(self, token: str, number: int, state: TrialState, quality: float) -> None:
        self._finish(token, number, state, quality, accepted=self._running(number) == token)

    @rule(token=tokens, state=RESULTS, quality=FIGURES)
    def finish(self, token: str, state: TrialState, quality: float) -> None:
        number, _ = self.attempts[token]
        self._finish(token, number, state, quality, accepted=self._running(number) == token)

    @rule(number=numbers, state=RESULTS, quality=FIGURES)
    def finish_without_token(self, number: int, state: TrialState, quality: float) -> None:
        self._finish(None, number, state, quality, accepted=True)

    def _finish(self, token: str | None, number: int, state: TrialState, quality: float, *, accepted: bool) -> None:
        outcome = TrialOutcome(state=state, measures={"quality": Measurement(value=quality)})
        accepted = accepted and self.trials[number] is TrialState.RUNNING
        assert self.writer.finish_trial(token, number, outcome, [{"n": number}]) == accepted
        if accepted:
            running = self._running(number)
            if running is not None:
                self.attempts[running] = (number, outcome.attempt_state)
            self.trials[number] = state
            self.quality[number] = quality
            self.told.append(number)

    @rule(number=numbers, quality=FIGURES, state=RESULTS)
    def measure_again(self, number: int, quality: float, state: TrialState) -> None:
        judged = (TrialState.COMPLETE, TrialState.INFEASIBLE)
        allowed = self.trials[number] in judged and state in judged
        try:
            self.writer.record_final_measures({number: {"quality": Measurement(value=quality)}}, {number: (state, "")})
        except ValueError:
            assert not allowed
            return
        assert allowed
        self.trials[number] = state
        self.quality[number] = quality

    @rule(limit=st.integers(1, 5))
    def deliver(self, limit: int) -> None:
        rows = self.writer.pending_outbox(limit)
        assert [r.payload["n"] for r in rows] == self.told[:limit]
        self.writer.mark_delivered([r.id for r in rows])
        self.told = self.told[limit:]

    @rule(seconds=st.integers(0, 100), trials=st.integers(0, 9), state=st.sampled_from(list(StudyState)))
    def spend(self, seconds: int, trials: int, state: StudyState) -> None:
        self.writer.add_spent(float(seconds))
        self.writer.extend_budget(Budget(seconds=float(seconds), trials=trials))
        self.writer.set_state(state, "n")
        self.spent_s += seconds
        counted = sum(state.counts for state in self.trials.values())
        more = Budget(seconds=float(seconds), trials=trials)
        self.budget = self.budget.extended(more, spent_s=float(self.spent_s), counted=counted)
        self.state = state

    @rule(times=st.integers(1, 2))
    @precondition(lambda self: self.trials)
    def owner_changes(self, times: int) -> None:
        self.owning.__exit__(None, None, None)
        self._own()
        owed = [number for number, state in sorted(self.trials.items()) if state is TrialState.RUNNING]
        for _ in range(times):
            assert [t.number for t in self.writer.recover()] == owed
        for token, (number, state) in self.attempts.items():
            if state is AttemptState.RUNNING:
                self.attempts[token] = (number, AttemptState.LOST)

    def _running(self, number: int) -> str | None:
        return next((t for t, (n, s) in self.attempts.items() if n == number and s is AttemptState.RUNNING), None)

    @invariant()
    def both_say_the_same(self) -> None:
        found = self.ledger.trials("s")
        assert {t.number: t.state for t in found} == self.trials
        assert {t.number: t.measures["quality"].value for t in found if t.measures} == self.quality
        assert {a.token: (a.number, a.state) for a in self.ledger.attempts("s")} == self.attempts
        for trial in found:
            assert trial.attempts == sum(n == trial.number for n, _ in self.attempts.values())
        states = list(self.trials.values())
        assert self.ledger.totals("s") == Totals(**{s.value: states.count(s) for s in TrialState})
        study = self.ledger.study("s")
        assert (study.epoch, study.spent_s, study.budget, study.state) == (
            self.epoch,
            self.spent_s,
            self.budget,
            self.state,
        )

    def teardown(self) -> None:
        self.owning.__exit__(None, None, None)
        self.ledger.close()
        self.folder.cleanup()


@pytest.mark.slow
def test_a_writer_does_what_its_model_does() -> None:
    chosen = settings(
        max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(WriterMachine, settings=chosen)
