"""How an exported pair is run: settled by measuring, once it is known what is exported."""

from dataclasses import replace
from typing import Final

from autoopt.app.context import StudyContext
from autoopt.app.jobs import Jobs
from autoopt.app.targets import runtimes_for
from autoopt.executors import Failed
from autoopt.stages.contract import SERVE_ENTRY, ServeJob, VerifiedArtifact, VerifyResult

SHARE, ASKED_SHARE = 0.3, 0.5
"""Of an export's time for verifying and measuring; the larger one where runtimes were asked for by name."""
MOST_S: Final = 8.0


def serving_s(seconds: float, context: StudyContext) -> float:
    """How much of an export's time goes into it."""
    return min((SHARE if context.targets is None else ASKED_SHARE) * seconds, MOST_S)


def with_serving(
    verified: VerifyResult, chosen: str, context: StudyContext, jobs: Jobs, *, seconds: float
) -> VerifyResult:
    """The same pair, each with the way of running it that was fastest; without one where that could not be found out.

    The `chosen` one comes first and gets most of the time. A runtime that takes its process down costs the export
    nothing but its own chance.
    """
    pair = [a for a in (verified.float_artifact, verified.twin) if a is not None]
    pair.sort(key=lambda a: a.role != chosen)
    job = ServeJob(
        snapshot=context.snapshot,
        graphs={a.role: a.file for a in pair},
        exact=tuple(a.role for a in pair if a.parity.get("gate") == "scores"),
        runtimes=runtimes_for(context.targets),
        tolerance=context.tolerance,
        seconds=seconds,
    )
    ended = jobs.attempt(SERVE_ENTRY, job.to_json())
    if isinstance(ended, Failed):
        note = f"how it runs fastest was not settled ({ended.reason.value}): {ended.message}"
        return replace(verified, notes=(*verified.notes, note))

    def told(artifact: VerifiedArtifact) -> VerifiedArtifact:
        return replace(artifact, serving=ended.result.get(artifact.role, {}))

    return replace(
        verified,
        float_artifact=told(verified.float_artifact),
        twin=None if verified.twin is None else told(verified.twin),
    )
