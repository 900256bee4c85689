"""Measure: quality of the reloaded file, and how long its calls take beside the reference graph.

Latencies are taken under a machine-wide lock, one thread, on real raw rows. While other slots work, a latency is
candidate ÷ reference × the reference's latency on the quiet machine: a guess, marked provisional.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoopt.errors import BundleError, StageFailure
from autoopt.files import StoreEntry, measuring_lock
from autoopt.runtime import Latency, Runner, latency, reference_call
from autoopt.runtime.timing import Call, in_turns
from autoopt.stages import deploy
from autoopt.stages.rows import Feed, feeds_of
from autoopt.stages.runners import loaded
from autoopt.strategies.tables.preprocess import Target
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Part
from autoopt.values import (
    LATENCY_BATCH_MS,
    LATENCY_MS,
    LATENCY_P95_MS,
    PEAK_MEMORY_BYTES,
    QUALITY,
    QUALITY_DROP,
    SIZE_BYTES,
    TRAIN_S,
    FailureReason,
    Measurement,
)

BATCH_ROWS = 256
REFERENCE = "reference"
SINGLE_S = 0.15
"""Seconds that a trial's timing at batch 1 takes, the reference beside it included."""
BATCH_S = 0.12
"""Seconds for batch 256."""
_SINGLE_FEEDS = 64
_BATCH_FEEDS = 4
_LOCK_WAIT_S = 30.0
_LEAST_SHARE = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A graph's latencies, and the reference's beside them; milliseconds as the clock gave them."""

    single: Latency
    batch: Latency


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Several graphs timed against each other and against the reference."""

    graphs: Mapping[str, Timed]
    reference: Latency
    alone: bool  # the measuring lock was held throughout


def time_graphs(
    facts: TaskFacts,
    rows: Part,
    graphs: Mapping[str, bytes],
    *,
    single_s: float,
    batch_s: float,
    wait_s: float = _LOCK_WAIT_S,
) -> Timing:
    """Load the graphs and time them in turns with the reference: at batch 1 for `single_s`, at 256 for `batch_s`.

    Loading many graphs takes time of its own, which is taken off both, down to a third of them. Without graphs, the
    reference alone. `wait_s`: how long to wait for others that measure on this machine, before it is done beside them.
    Raises StageFailure for a graph that does not load or run.
    """
    began = time.monotonic()
    try:
        sessions = {name: loaded(content, facts) for name, content in graphs.items()}
        singles = _calls(sessions, feeds_of(facts, rows, batch=1, most=_SINGLE_FEEDS))
        batches = _calls(sessions, feeds_of(facts, rows, batch=BATCH_ROWS, most=_BATCH_FEEDS))
        reference = reference_call()
        left = max(_LEAST_SHARE, 1.0 - (time.monotonic() - began) / (single_s + batch_s))
        with measuring_lock(wait_s=wait_s) as alone:
            single = latency({REFERENCE: reference, **singles}, seconds=left * single_s)
            batch = latency(batches, seconds=left * batch_s) if batches else {}
    except BundleError as error:
        raise StageFailure(FailureReason.ERROR, f"The deployed graph does not run: {error}") from error
    timed = {name: Timed(single=single[name], batch=batch[name]) for name in graphs}
    return Timing(graphs=timed, reference=single[REFERENCE], alone=alone)


def latency_measures(timed: Timed, *, factor: float = 1.0, provisional: bool) -> dict[str, Measurement]:
    """The three latency measures, scaled by `factor`."""

    def measured(value: float, low: float | None = None, high: float | None = None) -> Measurement:
        return Measurement(
            value=value * factor,
            low=None if low is None else low * factor,
            high=None if high is None else high * factor,
            provisional=provisional,
        )

    single, batch = timed.single, timed.batch
    return {
        LATENCY_MS: measured(single.p50_ms, single.low_ms, single.high_ms),
        LATENCY_P95_MS: measured(single.p95_ms),
        LATENCY_BATCH_MS: measured(batch.p50_ms, batch.low_ms, batch.high_ms),
    }


def measure_graph(
    facts: TaskFacts, rows: Part, content: bytes, *, quiet: bool, reference_quiet_ms: float | None
) -> dict[str, Measurement]:
    """Latencies and size of one graph, as a trial takes them."""
    timing = time_graphs(facts, rows, {"graph": content}, single_s=SINGLE_S, batch_s=BATCH_S)
    factor = 1.0 if quiet or reference_quiet_ms is None else reference_quiet_ms / timing.reference.p50_ms
    provisional = not quiet or not timing.alone
    return {
        **latency_measures(timing.graphs["graph"], factor=factor, provisional=provisional),
        SIZE_BYTES: Measurement(value=len(content)),
    }


def entry_measures(facts: TaskFacts, target: Target, entry: StoreEntry) -> dict[str, Measurement]:
    """What a deploy entry itself tells: quality of the file on raw valid rows, and what its training cost."""
    info = deploy.load_info(entry)
    drop = {} if info.quality_drop is None else {QUALITY_DROP: Measurement(value=info.quality_drop)}
    return {
        QUALITY: Measurement(value=deploy.quality(facts, target, deploy.load_valid_scores(entry))),
        **drop,
        TRAIN_S: Measurement(value=info.train_s),
        PEAK_MEMORY_BYTES: Measurement(value=info.peak_memory_bytes),
    }


def _calls(sessions: Mapping[str, Runner], feeds: Sequence[Feed]) -> dict[str, Call]:
    return {name: in_turns(session.run, feeds) for name, session in sessions.items()}
