"""Entry points of a worker process: JSON in, JSON out. They know neither study nor database."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoopt.files import Store
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import EvaluateJob, RemeasureJob, Reporter, SelectJob, ServeJob, VerifyJob
from autoopt.stages.ensemble_flow import candidate_of
from autoopt.stages.evaluate import evaluate_recipe
from autoopt.stages.remeasure import remeasure_artifacts
from autoopt.stages.selecting import select_members
from autoopt.stages.serve import serve_artifacts
from autoopt.stages.verify import verify_pair
from autoopt.task.snapshot import Snapshot
from autoopt.values import Rank, Slot


def evaluate(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Run an EvaluateJob; returns EvaluateResult as JSON, and nothing where another leads. Raises StageFailure."""
    job = EvaluateJob(**payload)
    rank = None if job.gang is None else Rank.from_json(job.gang)
    flow = candidate_of(
        Recipe(job.recipe),
        snapshot=Snapshot.open(Path(job.snapshot)),
        store=Store(Path(job.store)),
        seed=job.seed,
        slot=slot,
        report=report,
        teacher_key=job.teacher_key,
        member_teachers=job.member_teachers,
        training_limit_s=job.training_limit_s,
        training_least_share=job.training_least_share,
        rank=rank,
    )
    if rank is not None and not rank.leads:
        flow.follow()
        return {}
    return evaluate_recipe(flow, job).to_json()


def remeasure(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Run a RemeasureJob; returns measures by artifact key and the reference's. Raises StageFailure."""
    job = RemeasureJob(**payload)
    report("measure")
    return remeasure_artifacts(Snapshot.open(Path(job.snapshot)), Store(Path(job.store)), job)


def select(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Run a SelectJob; returns SelectResult as JSON."""
    job = SelectJob(**payload)
    report("select")
    return select_members(Snapshot.open(Path(job.snapshot)), Store(Path(job.store)), job).to_json()


def verify(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Run a VerifyJob; returns VerifyResult as JSON. Raises StageFailure when the float artifact cannot be had."""
    job = VerifyJob(**payload)
    return verify_pair(Snapshot.open(Path(job.snapshot)), Store(Path(job.store)), job, slot, report).to_json()


def serve(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """Run a ServeJob; returns what was chosen by role. Raises StageFailure when a graph does not run."""
    job = ServeJob(**payload)
    report("serve")
    return serve_artifacts(Snapshot.open(Path(job.snapshot)), job)
