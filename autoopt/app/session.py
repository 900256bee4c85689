"""One session of a study: wires ledger, planner, executor and tracking, runs the loop, and exports at the end."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from autoopt.app.context import StudyContext
from autoopt.app.ensembling import Ensembler, may_combine
from autoopt.app.finish import Exported, Finisher
from autoopt.app.jobs import ExportStopped, Jobs
from autoopt.app.options import Places
from autoopt.app.slots import slots_for
from autoopt.app.wiring import make_executor, make_outbox, make_planner, quiet_reference_ms
from autoopt.bundle import check_target
from autoopt.executors import Executor
from autoopt.files import Store
from autoopt.files.atomic import remove_abandoned
from autoopt.ledger import Ledger, StudyWriter
from autoopt.orchestrator import (
    BudgetClock,
    Observer,
    SearchLoop,
    SearchPlan,
    StopReason,
    study_end_payload,
    study_payload,
)
from autoopt.orchestrator.selection import TWIN
from autoopt.planners import Planner
from autoopt.report.wording import tensor_words
from autoopt.tracking import NoOutbox, TrackingOutbox
from autoopt.values import StudyState

STORE_CAP_BYTES = 8_000_000_000
ABANDONED = (("tasks", ".*.tmp"), ("bundles", ".*"), ("mlflow-artifacts/.reloaded", "*"))
"""Where a kill can leave something half made, and how it is called; the store clears itself."""
LEAST_SEARCH_S = 1.0
"""With less of the budget left, what is there is exported and nothing new begun."""
ENSEMBLE_SHARE, MOST_ENSEMBLE_S = 0.3, 30.0
"""Of the time for the end: how much averaging the trials may take; without a budget of time, seconds at most."""
MOST_COMPARING_S = 12.0
"""Forms of one graph are few, and measured when they were made: who compresses one waits for no more than that."""
GRACE_SHARE = 0.6
"""Of the reserve: how much the search may take while it has found nothing, as then there is nothing to export."""


@dataclass(frozen=True, kw_only=True)
class SessionResult:
    """How a session ended."""

    context: StudyContext
    stopped: StopReason
    exported: Exported | None


def reserve_s(budget_s: float) -> float:
    """Seconds kept for measuring again, verifying and exporting."""
    return min(max(0.16 * budget_s, 9.0), 60.0, 0.5 * budget_s)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a session is wired of, once it owns its study."""

    context: StudyContext
    ledger: Ledger
    writer: StudyWriter
    executor: Executor
    outbox: TrackingOutbox | NoOutbox
    clock: BudgetClock
    observer: Observer

    def loop(self, planner: Planner) -> SearchLoop:
        """The search, until the reserve for the end begins."""
        context, budget = self.context, self.context.study.budget
        left_s = self.clock.left_s
        worth_searching = budget.seconds is None or left_s > LEAST_SEARCH_S
        reserve = 0.0 if budget.seconds is None else reserve_s(left_s)
        return SearchLoop(
            plan=SearchPlan(
                study=context.study,
                snapshot=context.snapshot,
                store=str(context.home.store),
                seed=context.seed,
                objectives=context.objectives,
                limits=context.limits,
                quality_direction=context.facts.metric_direction,
                trials=budget.trials,
                search_until_s=self.clock.session_s + left_s - reserve if worth_searching else 0.0,
                grace_s=GRACE_SHARE * reserve if worth_searching else 0.0,
                reference_quiet_ms=quiet_reference_ms(self.executor, context) if worth_searching else None,
            ),
            ledger=self.ledger,
            writer=self.writer,
            planner=planner,
            executor=self.executor,
            clock=self.clock,
            outbox=self.outbox,
            observer=self.observer,
        )

    def finisher(self, planner: Planner, stopping: Callable[[], bool]) -> Finisher:
        """What measures again, averages and exports."""
        jobs = Jobs(self.executor, pump=lambda: self.outbox.pump(self.writer), stopping=stopping)
        ensembler = Ensembler(
            context=self.context,
            ledger=self.ledger,
            writer=self.writer,
            planner=planner,
            jobs=jobs,
            observer=self.observer,
        )
        return Finisher(
            context=self.context,
            ledger=self.ledger,
            writer=self.writer,
            jobs=jobs,
            outbox=self.outbox,
            observer=self.observer,
            ensembler=ensembler if may_combine(self.context.space) else None,
        )


def run_session(
    ledger: Ledger,
    name: str,
    places: Places,
    *,
    started: float,
    observer: Observer,
    output: str | None,
    targets: tuple[str, ...] | None = None,
) -> SessionResult:
    """Go on with a study until its budget ends, then export. `started`: time.monotonic at the command's start.

    `targets`: runtimes that the export may choose, in place of those that the study was made with.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(ledger.own(name))
        context = StudyContext.load(ledger, name, places).to_run_by(targets)
        check_target(Path(output) if output else context.home.bundle(name))  # now, not after an hour's search
        _open_study(context, writer)
        budget_s = context.study.budget.seconds
        parts = _Parts(
            context=context,
            ledger=ledger,
            writer=writer,
            executor=stack.enter_context(make_executor(context, slots_for(context.facts.modality, context.slots))),
            outbox=stack.enter_context(make_outbox(context)),
            clock=BudgetClock(started=started, before_s=context.study.spent_s, budget_s=budget_s),
            observer=observer,
        )
        stopped, exported = _search_and_export(parts, stack.enter_context(make_planner(ledger, context)), output)
        _say_goodbye(context, ledger, writer, stopped)
        if places.tracking_url is not None:
            observer.phase("telling MLflow")
        left = parts.outbox.drain(writer, until_s=_drain_seconds(parts.clock, stopped))
        if left:
            observer.phase(f"{left} entries could not be told to MLflow yet: the next session or autoopt ui sends them")
        parts.clock.book(writer, now=True)
        _collect(context, ledger)
        return SessionResult(context=context, stopped=stopped, exported=exported)


def _search_and_export(parts: _Parts, planner: Planner, output: str | None) -> tuple[StopReason, Exported | None]:
    loop = parts.loop(planner)
    with _stopping_on_signals(loop.stop) as was_asked:
        stopped = loop.run()
        if stopped is StopReason.USER:
            return stopped, None
        try:
            seconds, ensemble_s = end_seconds(parts.clock.left_s, may_combine(parts.context.space))
            if parts.context.pick == TWIN:
                seconds = min(seconds, MOST_COMPARING_S)
            finisher = parts.finisher(planner, was_asked)
            exported = finisher.finish(seconds=seconds, ensemble_s=ensemble_s, output=output)
        except ExportStopped:
            return StopReason.USER, None
        _close_study(parts.writer, stopped, usual_alone=parts.context.usual_alone)
        return stopped, exported


def end_seconds(left_s: float, combining: bool) -> tuple[float, float]:
    """(measuring, averaging): how long each may take at the end, of what the budget leaves for more than writing."""
    if left_s == float("inf"):
        return 3.0, MOST_ENSEMBLE_S
    both = max(1.0, min(left_s - 3.0, 40.0))
    ensemble_s = min(ENSEMBLE_SHARE * both, MOST_ENSEMBLE_S) if combining else 0.0
    return both - ensemble_s, ensemble_s


def _drain_seconds(clock: BudgetClock, stopped: StopReason) -> float:
    """How long to wait for the tracking side: almost to the budget's end, at most 10 s, and hardly after Ctrl-C."""
    return 2.0 if stopped is StopReason.USER else min(10.0, max(1.0, clock.left_s - 1.0))


def _open_study(context: StudyContext, writer: StudyWriter) -> None:
    """Said at each session's start, so that no crash in between can lose it; the tracking side takes it twice."""
    writer.set_state(StudyState.OPEN)
    writer.enqueue([study_payload(context.study, _params(context), {"autoopt.source": context.study.spec["source"]})])


def _params(context: StudyContext) -> dict[str, object]:
    facts = context.facts
    return {
        "data": facts.name,
        "modality": facts.modality.value,
        "fingerprint": facts.fingerprint,
        "target": facts.target,
        "kind": facts.kind.value,
        "metric": facts.metric,
        "rows": sum(facts.rows.values()),
        **({"columns": len([c for c in facts.columns if c.used])} if facts.columns else {}),
        **({"inputs": "; ".join(map(tensor_words, facts.tensors))} if facts.tensors else {}),
        "limits": ", ".join(map(str, context.limits)) or "none",
        "objectives": ", ".join(o.measure for o in context.objectives),
        "seed": context.seed,
    }


def _close_study(writer: StudyWriter, stopped: StopReason, *, usual_alone: bool) -> None:
    exhausted = stopped is StopReason.EXHAUSTED and not usual_alone
    note = "the space holds nothing new" if exhausted else f"budget of {stopped.value} spent"
    if usual_alone and stopped is not StopReason.TIME:
        note = "each usual form was tried that could be of use"
    writer.set_state(StudyState.EXHAUSTED if exhausted else StudyState.FINISHED, note)


def _say_goodbye(context: StudyContext, ledger: Ledger, writer: StudyWriter, stopped: StopReason) -> None:
    totals = ledger.totals(context.study.name)
    counts = {
        "trials_complete": float(totals.complete),
        "trials_pruned": float(totals.pruned),
        "trials_infeasible": float(totals.infeasible),
        "trials_failed": float(totals.failed),
    }
    status = "KILLED" if stopped is StopReason.USER else "FINISHED"
    writer.enqueue([study_end_payload(context.study, status, counts, int(time.time() * 1000))])


def _collect(context: StudyContext, ledger: Ledger) -> None:
    """Keep the store within its cap; what the trials deployed stays. What killed processes left half made goes."""
    for place, pattern in ABANDONED:
        remove_abandoned(context.home.root / place, pattern)
    Store(context.home.store).collect(cap_bytes=STORE_CAP_BYTES, keep=ledger.referenced_artifacts())


@contextmanager
def _stopping_on_signals(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """First Ctrl-C or SIGTERM: stop well. Second: KeyboardInterrupt at once. Yields a test for 'was asked to stop'.

    Outside the main thread (a notebook's worker, a server) signals are left alone.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
