"""Serve: which way of running an exported graph is fastest on the quiet machine, with the same predictions."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from autoopt.devices import Cgroups
from autoopt.devices.host import usable_cores
from autoopt.errors import BundleError, StageFailure
from autoopt.files import measuring_lock
from autoopt.runtime import Runner, rows_at_once
from autoopt.runtime.fastest import Accept, Rows, fastest, fitting_rows
from autoopt.runtime.session import Session
from autoopt.stages import deploy
from autoopt.stages.contract import ServeJob
from autoopt.stages.judge import relative_loss
from autoopt.stages.measure import BATCH_ROWS
from autoopt.stages.parity import compare_scores
from autoopt.stages.rows import feeds_of
from autoopt.strategies.networks.untraced import is_untraced
from autoopt.task.facts import TaskFacts
from autoopt.task.scoring import score
from autoopt.task.snapshot import Part, Snapshot
from autoopt.task.spreading import spread_rows
from autoopt.values import FailureReason

FIRST_SHARE: Final = 2 / 3
"""Of the time, for the first of two: the one that is used."""
ACCEPTING_ROWS: Final = 1024
ACCEPTING_CALLS: Final = 10
"""Rows that a candidate is held to, and how many batches of what is measured they may take."""
QUALITY_SHARE: Final = 0.1
"""Of the tolerance: how much quality another runtime's integer kernels may cost."""
_SINGLE_FEEDS, _BATCH_FEEDS = 64, 4


def serve_artifacts(snapshot: Snapshot, job: ServeJob) -> dict[str, Any]:
    """{role: what was chosen and tried, as a manifest has it}.

    Where another process measures all the while, nothing is compared: only a runtime that is asked for alone is taken.
    Weights that only torch can run have no choice and are left out. Raises StageFailure for a graph that does not run.
    """
    facts, valid = snapshot.facts, snapshot.part("valid")
    graphs = {role: Path(path).read_bytes() for role, path in job.graphs.items()}
    graphs = {role: content for role, content in graphs.items() if not is_untraced(content)}
    with measuring_lock(wait_s=job.seconds) as alone:
        until = time.monotonic() + (job.seconds if alone else 0.0)
        found: dict[str, Any] = {}
        try:
            for role, content in graphs.items():
                seconds = max(0.0, until - time.monotonic()) * (FIRST_SHARE if len(graphs) - len(found) > 1 else 1.0)
                found[role] = _served(facts, valid, content, job, seconds, exact=role in job.exact)
            return found
        except BundleError as error:
            raise StageFailure(FailureReason.ERROR, f"The deployed graph does not run: {error}") from error


def _served(
    facts: TaskFacts, valid: Part, content: bytes, job: ServeJob, seconds: float, *, exact: bool
) -> Mapping[str, Any]:
    row_bytes = sum(values[:1].nbytes for values in valid.tensors)
    usual = min(BATCH_ROWS, rows_at_once(texts=bool(facts.text_columns), row_bytes=row_bytes))
    plain = Session(content)
    batch = fitting_rows(plain, feeds_of(facts, valid, batch=usual, most=1)[0])
    rows = Rows(
        single=feeds_of(facts, valid, batch=1, most=_SINGLE_FEEDS),
        batch=feeds_of(facts, valid, batch=batch, most=_BATCH_FEEDS),
    )
    most = min(ACCEPTING_ROWS, ACCEPTING_CALLS * batch)
    accept = acceptor(facts, valid.take(spread_rows(valid.rows, most)), plain, exact=exact, tolerance=job.tolerance)
    cores = usable_cores(Cgroups())
    return fastest(content, rows, accept, runtimes=job.runtimes, cores=cores, seconds=seconds).to_json()


def acceptor(facts: TaskFacts, rows: Part, plain: Runner, *, exact: bool, tolerance: float) -> Accept:
    """Whether a runner predicts those rows as the plain one does: by its scores, or where not `exact` its quality."""
    expected = deploy.score_rows(plain, facts, rows)
    quality = score(facts.metric, facts, rows.target, expected)

    def accept(runner: Runner) -> str:
        found = deploy.score_rows(runner, facts, rows)
        try:
            parity = compare_scores(facts, expected, found)
        except StageFailure as failure:
            return str(failure)
        if parity.holds:
            return ""
        if exact:
            return f"its scores differ by {parity.max_abs_difference:.2g} on {parity.rows_beyond} of {parity.rows} rows"
        loss = relative_loss(facts, quality, score(facts.metric, facts, rows.target, found))
        return (
            "" if loss <= QUALITY_SHARE * tolerance else f"it loses {loss:.2%} of {facts.metric} to the plain runtime"
        )

    return accept
