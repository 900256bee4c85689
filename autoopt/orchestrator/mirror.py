"""What the tracking side is told of a study and its trials: plain JSON payloads for the outbox."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from autoopt.ledger import StudyRow
from autoopt.space.recipe import Recipe
from autoopt.values import FailureReason, Measurement, TrialState

_RUN_STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.INFEASIBLE: "FINISHED",
    TrialState.FAILED: "FAILED",
}


def study_uid(study: StudyRow) -> str:
    """Names a study for ever: a removed and remade study of the same name is another one."""
    return f"{study.name}@{study.created_at}"


def _milliseconds(iso: str | None) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000) if iso else 0


def _finite(points: Sequence[tuple[str, float, int]], at_ms: int) -> list[dict[str, Any]]:
    """Metrics from (key, value, step); a diverged curve's NaN has no place in JSON and would refuse the whole row."""
    return [
        {"key": key, "value": value, "step": step, "timestamp_ms": at_ms}
        for key, value, step in points
        if math.isfinite(value)
    ]


def study_payload(study: StudyRow, params: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The parent run of a study."""
    return {
        "kind": "study",
        "uid": study_uid(study),
        "experiment": study.name,
        "run_name": study.name,
        "params": {k: str(v) for k, v in params.items()},
        "metrics": [],
        "tags": dict(tags),
        "status": "RUNNING",
        "start_ms": _milliseconds(study.created_at),
        "end_ms": None,
    }


def study_end_payload(study: StudyRow, status: str, metrics: Mapping[str, float], ended_ms: int) -> dict[str, Any]:
    """How the parent run stands when a session ends."""
    return {
        **study_payload(study, {}, {}),
        "metrics": _finite([(k, v, 0) for k, v in metrics.items()], ended_ms),
        "status": status,
        "end_ms": ended_ms,
    }


def trial_payload(
    study: StudyRow,
    *,
    number: int,
    recipe: Recipe,
    state: TrialState,
    reason: str,
    measures: Mapping[str, Measurement],
    steps: Sequence[tuple[int, str, float]],
    started_ms: int,
    ended_ms: int,
) -> dict[str, Any]:
    """The child run of a trial: recipe as params, measures and curves as metrics, the reason as a tag.

    Time stamps are fixed here, so that a payload sent twice adds nothing.
    """
    metrics = _finite([(name, m.value, 0) for name, m in measures.items()], ended_ms)
    metrics += _finite([(f"curve_{name}", value, step) for step, name, value in steps], ended_ms)
    return {
        "kind": "trial",
        "uid": f"{study_uid(study)}/{number}",
        "parent_uid": study_uid(study),
        "experiment": study.name,
        "run_name": f"trial {number}: {recipe.get('model', '')}",
        "params": {k: str(v) for k, v in recipe.items()},
        "metrics": metrics,
        "tags": {
            "autoopt.state": state.value,
            "autoopt.trial": str(number),
            **({"autoopt.reason": reason} if reason else {}),
        },
        "status": _RUN_STATUS.get(state, "FINISHED"),
        "start_ms": started_ms,
        "end_ms": ended_ms,
    }


def failure_text(reason: FailureReason, message: str) -> str:
    """A failure in one line, for tables and tags."""
    return f"{reason.value}: {message}" if message else reason.value


def model_payload(study: StudyRow, number: int, folder: Path, metrics: Mapping[str, float]) -> dict[str, Any]:
    """The exported bundle: to be logged as a model of the parent run and registered under the study's name."""
    now_ms = int(time.time() * 1000)
    return {
        "kind": "model",
        "uid": f"{study_uid(study)}#{number}@{now_ms}",
        "parent_uid": study_uid(study),
        "experiment": study.name,
        "registered_name": study.name,
        "alias": "best",
        "bundle": str(folder.absolute()),  # delivered by another process, perhaps another day
        "trial": number,
        "metrics": _finite([(k, v, 0) for k, v in metrics.items()], now_ms),
    }
