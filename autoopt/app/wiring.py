"""Makes the parts of a session: executor, planner, tracking. The only place that names their classes."""

from contextlib import AbstractContextManager

from autoopt.app.context import StudyContext
from autoopt.executors import Executor, Failed, Finished, InlineExecutor, Job, ProcessExecutor
from autoopt.ledger import Ledger
from autoopt.orchestrator.selection import TWIN
from autoopt.planners import Climb, Planner
from autoopt.planners.optuna_planner import OptunaPlanner
from autoopt.space import Choice, Space
from autoopt.stages.contract import REMEASURE_ENTRY, RemeasureJob
from autoopt.strategies import MODEL, models
from autoopt.task.facts import Modality
from autoopt.tracking import NoOutbox, TrackingOutbox
from autoopt.values import Slot

PRELOAD = ("autoopt.stages.worker", "autoopt.stages.preload")
"""Imported by the fork server before the first trial: what every trial needs."""
NETWORKS = ("torch", "torch._dynamo")
"""Slow to import, and for networks alone; torch imports the second one, for a second, when an optimizer is made."""
EXPORTER = ("autoopt.stages.preload_exporter",)
"""The same, for networks whose graph torch writes: all but those for tables."""


def make_executor(context: StudyContext, slots: tuple[Slot, ...]) -> Executor:
    """Processes from a fork server, or everything in this process for debugging."""
    if context.inline:
        return InlineExecutor(slots[:1])
    preload, warm = imports_ahead(context.space)
    return ProcessExecutor(
        slots,
        log_folder=context.home.logs(context.study.name),
        preload=preload,
        warm=warm,
        memory_bytes=context.memory_bytes,
    )


def imports_ahead(space: Space) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What workers import before the first trial, and what beside it.

    What every trial needs comes first, so that none pays for it; what only some need must not keep the first waiting.
    """
    known = models()
    domains = [d.domain for d in space.dimensions if d.name == MODEL]
    names = [str(value) for domain in domains if isinstance(domain, Choice) for value in domain.values]
    networks = [name for name in names if known[name].learns_in_steps]
    exported = [name for name in networks if Modality.TABULAR not in known[name].modalities]
    libraries = (*(NETWORKS if networks else ()), *(EXPORTER if exported else ()))
    if networks and networks == names:
        return (*PRELOAD, *libraries), ()
    return PRELOAD, libraries


def make_planner(ledger: Ledger, context: StudyContext) -> Planner:
    """Optuna on the ledger's own database."""
    return OptunaPlanner(
        storage_url=ledger.url,
        study_name=context.study.name,
        space=context.space,
        objectives=context.objectives,
        seed=context.seed,
        climb=Climb(usual_alone=context.usual_alone) if context.pick == TWIN else None,
    )


def make_outbox(context: StudyContext) -> AbstractContextManager[TrackingOutbox | NoOutbox]:
    """The way to MLflow: a process of its own, so that a slow server slows nothing; none where it is told nothing."""
    uri = context.places.tracking_url
    if uri is None:
        return NoOutbox()
    return TrackingOutbox(
        uri,
        artifact_folder=context.home.tracking_artifacts,
        log_path=context.home.logs(context.study.name) / "tracking.log",
    )


def quiet_reference_ms(executor: Executor, context: StudyContext) -> float | None:
    """Latency of the reference graph before any trial runs: what latencies taken in the bustle are scaled by."""
    job = RemeasureJob(snapshot=context.snapshot, store=str(context.home.store), artifact_keys=(), seconds=0.25)
    token = "reference"
    executor.submit(
        Job(token=token, entry=REMEASURE_ENTRY, payload=job.to_json(), slot=executor.slots[0], progress_deadline_s=120)
    )
    while True:
        for event in executor.poll(0.2):
            if event.token != token:
                continue
            if isinstance(event, Finished):
                return float(event.result["reference"]["latency_ms"]["value"])
            if isinstance(event, Failed):
                return None
