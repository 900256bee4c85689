"""Measure finished artifacts again, side by side, on the idle machine: the figures that count."""

from typing import Any

from autoopt.files import Store
from autoopt.stages.contract import RemeasureJob
from autoopt.stages.keys import DEPLOY
from autoopt.stages.measure import REFERENCE, latency_measures, time_graphs
from autoopt.stages.runners import file_of
from autoopt.task.snapshot import Snapshot
from autoopt.values import LATENCY_MS, Measurement

_REFERENCE_WAIT_S = 3.0
"""How long the reference alone, which takes a moment and serves a whole session, waits for others that measure."""
_SINGLE_SHARE = 0.65
"""Share of the time for batch 1, whose latency is the one that limits and objectives are about."""


def remeasure_artifacts(snapshot: Snapshot, store: Store, job: RemeasureJob) -> dict[str, dict[str, Any]]:
    """{artifact key: {measure: Measurement as JSON}, "reference": {"latency_ms": ...}}, within about `job.seconds`.

    An artifact that is no longer in the store is left out. Raises StageFailure when one does not run.
    """
    entries = {key: store.find(DEPLOY, key) for key in job.artifact_keys}
    graphs = {key: (e.path / file_of(e)).read_bytes() for key, e in entries.items() if e is not None}
    single_s = job.seconds * (_SINGLE_SHARE if graphs else 1.0)
    timing = time_graphs(
        snapshot.facts,
        snapshot.part("valid"),
        graphs,
        single_s=single_s,
        batch_s=job.seconds - single_s,
        wait_s=max(job.seconds, _REFERENCE_WAIT_S if not graphs else 0.0),
    )
    found: dict[str, dict[str, Any]] = {}
    for key, timed in timing.graphs.items():
        measures = latency_measures(timed, provisional=not timing.alone)
        found[key] = {name: m.to_json() for name, m in measures.items()}
    reference = timing.reference
    quiet = Measurement(
        value=reference.p50_ms, low=reference.low_ms, high=reference.high_ms, provisional=not timing.alone
    )
    return {**found, REFERENCE: {LATENCY_MS: quiet.to_json()}}
