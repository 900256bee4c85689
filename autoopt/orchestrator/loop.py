"""The loop of a study: ask → dispatch → record → tell, until the budget ends.

It is the study's only writer. The order for a result is: ledger row (with the tracking outbox, one transaction), then
the planner. Each step can be replayed: what a crash leaves between them, `recover` mends at the next start.
"""

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from autoopt.errors import SpaceError
from autoopt.executors import Event, Executor, Failed, Finished, Job, Progress, SlotFreed
from autoopt.ledger import Ledger, Source, StudyRow, StudyWriter, TrialOutcome, TrialRow
from autoopt.orchestrator.attempts import (
    PLANNED_STEPS,
    Ending,
    Running,
    judged,
    outcome_of,
    payload_of,
    planner_outcome,
    slot_views,
)
from autoopt.orchestrator.clock import BudgetClock, training_least_share, training_limit_s
from autoopt.orchestrator.gangs import one_process, slots_for
from autoopt.orchestrator.observer import Observer
from autoopt.orchestrator.rungs import Rungs, judged_step
from autoopt.orchestrator.shared_training import MOST_WAITING, must_wait
from autoopt.orchestrator.teacher import Teachers
from autoopt.planners import KnownTrial, Planner, PlannerOutcome
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import EVALUATE_ENTRY, EvaluateJob, EvaluateResult
from autoopt.values import AttemptState, Direction, FailureReason, Limit, Measures, Objective, Slot, TrialState

DUPLICATES_THAT_END = 50
_LEDGER_SOURCE: Final[dict[str, Source]] = {
    "portfolio": "portfolio",
    "queued": "again",
    "sampler": "planner",
    "random": "planner",
}


class StopReason(StrEnum):
    """Why the loop ended."""

    TIME = "time"
    TRIALS = "trials"
    EXHAUSTED = "exhausted"
    USER = "user"


class Outbox(Protocol):
    """Carries the ledger's outbox to the tracking side; never waits."""

    def pump(self, writer: StudyWriter) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Everything the loop must know that does not change while it runs."""

    study: StudyRow
    snapshot: str
    store: str
    seed: int
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()
    trials: int | None = None  # counted trials of the whole study, earlier sessions included
    search_until_s: float = float("inf")  # of this session: when to stop starting and end what runs
    grace_s: float = 0.0  # how much longer while no trial has left anything to export
    entry: str = EVALUATE_ENTRY
    quality_direction: Direction = "maximize"
    max_attempts: int = 3
    progress_deadline_s: float = 300.0
    reference_quiet_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A result that a duplicate may be answered with."""

    number: int
    outcome: PlannerOutcome


_Work = tuple[int, Recipe, int]
"""A trial's number, its recipe and how many attempts at it there were."""


class SearchLoop:
    """Runs one session of one study. `stop()` may be called from a signal handler."""

    def __init__(
        self,
        *,
        plan: SearchPlan,
        ledger: Ledger,
        writer: StudyWriter,
        planner: Planner,
        executor: Executor,
        clock: BudgetClock,
        outbox: Outbox,
        observer: Observer,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._writer = writer
        self._planner = planner
        self._executor = executor
        self._clock = clock
        self._outbox = outbox
        self._observer = observer
        self._owed: deque[_Work] = deque()  # a result is owed
        self._running: dict[str, Running] = {}  # by token
        self._known: dict[str, _Known] = {}  # by the recipe's hash
        self._counted = 0
        self._found = False  # something to export
        self._duplicates_in_a_row = 0
        self._nothing_left = False  # to propose, before another result comes
        self._stop_requested = False
        self._rungs = Rungs(plan.objectives, writer)
        self._teachers = Teachers(plan.quality_direction)

    def stop(self) -> None:
        """End the session as soon as possible; nothing is lost."""
        self._stop_requested = True

    def run(self) -> StopReason:
        """Search until a reason to stop; every attempt has ended and is recorded when this returns."""
        self._recover()
        while (reason := self._reason_to_stop()) is None:
            self._fill_slots()
            self._pump(0.25)
        if reason in (StopReason.TIME, StopReason.USER):
            for token in list(self._running):
                self._executor.cancel(token)
        while self._running:
            self._pump(0.25)
        self._leave_owed()
        self._clock.book(self._writer, now=True)
        return reason

    def _pump(self, timeout_s: float) -> None:
        for event in self._executor.poll(timeout_s):
            self._handle(event)
        self._clock.book(self._writer)
        self._outbox.pump(self._writer)

    def _leave_owed(self) -> None:
        """Trials whose next attempt can no longer begin end as stopped: nothing may wait for an owner that is gone."""
        while self._owed:
            number, _, _ = self._owed.popleft()
            self._writer.finish_trial(None, number, TrialOutcome(state=TrialState.STOPPED, reason="stopped"))
            self._planner.tell(number, PlannerOutcome(state=TrialState.STOPPED))

    # ---- start ----------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        owed = {t.number for t in self._writer.recover()}
        trials = self._ledger.trials(self._plan.study.name)
        self._found = any(t.artifact_key for t in trials)
        outcomes = self._outcomes(trials)
        for trial in trials:
            self._teachers.note(trial)
            if trial.number in owed:
                # Attempts lost with an orchestrator say nothing against the recipe: it starts afresh.
                self._owed.append((trial.number, Recipe(trial.recipe), 0))
            else:
                self._remember(trial.number, Recipe(trial.recipe), outcomes[trial.number])
                self._counted += trial.counts
        self._rungs.reload(self._ledger.rungs(self._plan.study.name), {t.number: Recipe(t.recipe) for t in trials})
        self._planner.reconcile(
            [KnownTrial(number=t.number, recipe=Recipe(t.recipe), outcome=outcomes[t.number]) for t in trials]
        )
        known = {t.recipe_sha256 for t in trials if t.state is not TrialState.STOPPED}
        again = {t.recipe_sha256: Recipe(t.recipe) for t in trials if t.state is TrialState.STOPPED}
        for recipe in (recipe for sha256, recipe in again.items() if sha256 not in known):
            with contextlib.suppress(SpaceError):  # `distill: best` pinned, and tried without as there was no teacher
                self._planner.enqueue([recipe])

    def _outcomes(self, trials: Sequence[TrialRow]) -> dict[int, PlannerOutcome]:
        """What the planner was told of each trial, or should have been; a duplicate ends as the trial it repeats."""
        rows = {t.number: t for t in trials}
        answers = {t.number: rows[t.number if t.duplicate_of is None else t.duplicate_of] for t in trials}
        return {number: self._planner_outcome(t.state, t.measures) for number, t in answers.items()}

    def _reason_to_stop(self) -> StopReason | None:
        if self._is_over():
            return StopReason.USER if self._stop_requested else StopReason.TIME
        if self._running or self._owed:
            return None
        if self._plan.trials is not None and self._counted >= self._plan.trials:
            return StopReason.TRIALS
        return StopReason.EXHAUSTED if self._nothing_left or self._duplicates_in_a_row >= DUPLICATES_THAT_END else None

    def _is_over(self) -> bool:
        """Whether nothing more may begin, and what runs is to be ended."""
        until_s = self._plan.search_until_s + (0.0 if self._found else self._plan.grace_s)
        return self._stop_requested or self._clock.session_s >= until_s

    # ---- dispatch -------------------------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        taken = {slot.index for r in self._running.values() for slot in r.slots}
        free = [slot for slot in self._executor.slots if slot.index not in taken]
        while free and (work := self._next()) is not None:
            chosen = slots_for(work[1], self._executor.slots, free)
            if not chosen:
                self._owed.appendleft(work)
                return
            self._dispatch(chosen, *work)
            free = [slot for slot in free if slot not in chosen]

    def _next(self) -> _Work | None:
        """What a free slot does: a result that is owed, or a new trial whose training no other slot is at."""
        for place, (_, recipe, _) in enumerate(self._owed):
            if not self._must_wait(recipe):
                work = self._owed[place]
                del self._owed[place]
                return work
        while len(self._owed) < MOST_WAITING:
            asked = self._ask()
            if asked is None or not self._must_wait(asked[1]):
                return asked
            self._owed.append(asked)
        return None

    def _is_begun(self, recipe: Recipe) -> bool:
        return any(r.recipe == recipe for r in self._running.values()) or any(r == recipe for _, r, _ in self._owed)

    def _must_wait(self, recipe: Recipe) -> bool:
        return must_wait(recipe, [r.recipe for r in self._running.values()])

    def _ask(self) -> _Work | None:
        """A new trial's number and recipe, recorded; None when the budget or the space has no more for now."""
        while self._duplicates_in_a_row < DUPLICATES_THAT_END and not (self._nothing_left or self._is_over()):
            begun = self._counted + len(self._running) + len(self._owed)
            if self._plan.trials is not None and begun >= self._plan.trials:
                return None
            proposal = self._planner.ask()
            if proposal is None:
                self._nothing_left = True
                return None
            recipe = self._teachers.named_in(proposal.recipe)
            if (known := self._known.get(recipe.sha256)) is not None:
                self._writer.record_duplicate(proposal.number, recipe.to_json(), recipe.sha256, known.number)
                self._planner.tell(proposal.number, known.outcome)
            elif self._is_begun(recipe):
                self._planner.tell(proposal.number, PlannerOutcome(state=TrialState.STOPPED))
            else:
                self._duplicates_in_a_row = 0
                self._writer.record_trial(
                    proposal.number, recipe.to_json(), recipe.sha256, _LEDGER_SOURCE[proposal.source]
                )
                return proposal.number, recipe, 0
            self._duplicates_in_a_row += 1
        return None

    def _dispatch(self, slots: tuple[Slot, ...], number: int, recipe: Recipe, attempts: int) -> None:
        (slot, *peers), alone = slots, one_process(recipe, slots)
        token = self._writer.start_attempt(number, slot.index)
        job = EvaluateJob(
            snapshot=self._plan.snapshot,
            store=self._plan.store,
            recipe=recipe.to_json(),
            seed=self._plan.seed,
            limits=tuple(str(x) for x in self._plan.limits),
            quiet=len(self._executor.slots) == 1,
            reference_quiet_ms=self._plan.reference_quiet_ms,
            attempt=attempts,
            teacher_key=self._teachers.key_of(recipe),
            training_limit_s=training_limit_s(self._plan.search_until_s, self._clock.session_s),
            training_least_share=training_least_share(self._plan.search_until_s, self._clock.session_s),
            gang=alone.to_json() if alone else None,
        )
        self._running[token] = Running(
            number=number,
            recipe=recipe,
            slot=slot,
            attempt=attempts,
            started=time.monotonic(),
            started_ms=int(time.time() * 1000),
            steps=[],
            peers=tuple(peers),
        )
        self._executor.submit(
            Job(
                token=token,
                entry=self._plan.entry,
                payload=job.to_json(),
                slot=slot,
                peers=() if alone else tuple(peers),
                progress_deadline_s=self._plan.progress_deadline_s,
            )
        )
        self._observer.trial_started(number, slot.index, str(recipe.get("model", "")), attempts)
        self._show_slots()

    # ---- results --------------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        running = self._running.get(event.token)
        if running is None:
            return
        if isinstance(event, Progress):
            self._note_progress(event.token, running, event)
        elif isinstance(event, SlotFreed):
            running.peers = tuple(peer for peer in running.peers if peer != event.slot)
        elif isinstance(event, Finished):
            self._finish(event.token, running, judged(EvaluateResult.from_json(event.result), self._plan.limits))
        else:
            self._fail(event.token, running, event)

    def _note_progress(self, token: str, running: Running, event: Progress) -> None:
        running.note(event)
        step, known = judged_step(event), running.known
        if step is not None and not running.rung and PLANNED_STEPS in known:
            planned = int(known[PLANNED_STEPS])
            running.rung = self._rungs.verdict(running.number, running.recipe, step=step, steps=planned, known=known)
            if running.rung:
                self._executor.cancel(token)
        self._show_slots()

    def _fail(self, token: str, running: Running, event: Failed) -> None:
        if event.cancelled and running.rung:
            self._finish(token, running, Ending(state=TrialState.PRUNED, reason="rung", message=running.rung))
        elif event.cancelled:
            self._finish(token, running, Ending(state=TrialState.STOPPED, reason="stopped"))
        elif event.reason is FailureReason.NO_TIME:
            ending = Ending(state=TrialState.STOPPED, reason=event.reason.value, message=event.message)
            self._finish(token, running, ending)
        elif event.reason.may_pass and running.attempt + 1 < self._plan.max_attempts:
            seconds = time.monotonic() - running.started
            self._writer.finish_attempt(
                token, AttemptState.FAILED, event.reason.value, event.message, event.detail, seconds
            )
            del self._running[token]
            self._owed.append((running.number, running.recipe, running.attempt + 1))
            self._show_slots()
        else:
            ending = Ending(
                state=TrialState.FAILED,
                reason=event.reason.value,
                message=event.message,
                detail=event.detail,
            )
            self._finish(token, running, ending)

    def _finish(self, token: str, running: Running, ending: Ending) -> None:
        """Write a trial's end: ledger and outbox in one transaction, then the planner, then whoever watches."""
        measures = ending.result.measures if ending.result else {}
        payload = payload_of(self._plan.study, running, ending)
        if running.steps:
            self._writer.record_steps(token, running.steps)
        outcome = outcome_of(running, ending)
        counted = ending.state.counts
        del self._running[token]
        if not self._writer.finish_trial(token, running.number, outcome, [payload] if counted else []):
            return  # the ledger knows better: that trial has its result
        planner_outcome = self._planner_outcome(ending.state, measures)
        self._planner.tell(running.number, planner_outcome)
        self._nothing_left = False
        self._remember(running.number, running.recipe, planner_outcome)
        self._counted += counted
        self._found |= bool(outcome.artifact_key)
        trial = self._ledger.trial(self._plan.study.name, running.number)
        self._teachers.note(trial)
        self._observer.trial_ended(trial)
        self._show_slots()

    def _planner_outcome(self, state: TrialState, measures: Measures) -> PlannerOutcome:
        return planner_outcome(state, measures, self._plan.objectives, self._plan.limits)

    def _remember(self, number: int, recipe: Recipe, outcome: PlannerOutcome) -> None:
        if outcome.state.counts:
            self._known.setdefault(recipe.sha256, _Known(number=number, outcome=outcome))

    def _show_slots(self) -> None:
        self._observer.slots_changed(slot_views(self._executor.slots, self._running.values()))
