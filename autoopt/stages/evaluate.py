"""A trial: is it feasible at all, then prepare → train → deploy → measure."""

import time
from collections.abc import Sequence

from autoopt.stages import deploy
from autoopt.stages.candidate import Candidate
from autoopt.stages.contract import EvaluateJob, EvaluateResult, StageRun
from autoopt.stages.flow import Flow
from autoopt.stages.measure import entry_measures, measure_graph
from autoopt.stages.runners import file_of
from autoopt.values import (
    LATENCY_BATCH_MS,
    LATENCY_MS,
    LATENCY_P95_MS,
    SIZE_BYTES,
    Limit,
    Measures,
    parse_limits,
)

MEASURE = "measure"
SHAPE_MEASURES = frozenset({SIZE_BYTES, LATENCY_MS, LATENCY_P95_MS, LATENCY_BATCH_MS})
"""What hangs on a network's shape alone, and is therefore known before it is trained."""
_NOISE = 1.25
"""A latency counts as too high before training only when its low end is this many times the bound."""


def evaluate_recipe(flow: Candidate, job: EvaluateJob) -> EvaluateResult:
    """Measures of the recipe's deployed file, or which limit it breaks without being trained. Raises StageFailure."""
    early = _before_training(flow, job) if isinstance(flow, Flow) else None
    if early is not None:
        return early
    entry = flow.deployed()
    flow.report(MEASURE)
    began = time.monotonic()
    valid = flow.snapshot.part("valid")
    measures = {
        **entry_measures(flow.facts, valid.target, entry),
        **measure_graph(
            flow.facts,
            valid,
            (entry.path / file_of(entry)).read_bytes(),
            quiet=job.quiet,
            reference_quiet_ms=job.reference_quiet_ms,
        ),
    }
    return EvaluateResult(
        measures=measures,
        artifact_key=entry.key,
        artifact_sha256=entry.sha256[file_of(entry)],
        stages=(*flow.runs, _measure_run(entry.key, began)),
        notes=deploy.load_info(entry).notes,
    )


def _before_training(flow: Flow, job: EvaluateJob) -> EvaluateResult | None:
    """The result of a recipe whose untrained graph already breaks a limit by more than the noise; else None.

    Networks whose training takes long are measured without limits too: a rung compares what they cost with what others
    do, so that a small one is not ended for being less good.
    """
    limits = [x for x in parse_limits(job.limits) if x.measure in SHAPE_MEASURES]
    if not (limits or flow.trains_long) or flow.is_trained():
        return None
    content = flow.untrained_graph()
    if content is None:
        return None
    flow.report(MEASURE)
    began = time.monotonic()
    measures = measure_graph(
        flow.facts,
        flow.snapshot.part("valid"),
        content,
        quiet=job.quiet,
        reference_quiet_ms=job.reference_quiet_ms,
    )
    flow.report(MEASURE, values={name: m.value for name, m in measures.items()})
    broken = _surely_broken(limits, measures)
    if broken is None:
        return None
    return EvaluateResult(
        measures=measures,
        infeasible=f"{broken.told()} broken: {broken.miss_text(measures[broken.measure].value)}",
        stages=(*flow.runs, _measure_run(flow.keys.deploy, began)),
        notes=("measured with random weights, before any training",),
    )


def _surely_broken(limits: Sequence[Limit], measures: Measures) -> Limit | None:
    """The first limit that is broken by more than the noise of its measure."""
    for limit in limits:
        measured = measures[limit.measure]
        if limit.measure == SIZE_BYTES:
            least = measured.value
        else:
            least = (measured.value if measured.low is None else measured.low) / _NOISE
        if limit.excess(least) > 0:
            return limit
    return None


def _measure_run(key: str, began: float) -> StageRun:
    return StageRun(name=MEASURE, key=key, hit=False, seconds=time.monotonic() - began, size_bytes=0)
