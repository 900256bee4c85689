"""The task: data read, checked as a whole, understood, split, and kept as a snapshot that workers open.

`facts`, `options` and `metrics` are light. What needs pandas or pyarrow is imported when it is first asked for, so that
`autoopt --help` and the modules that only need TaskFacts start at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts, TensorFacts
from autoopt.task.options import TaskOptions

if TYPE_CHECKING:
    from autoopt.task.assemble import PreparedTask
    from autoopt.task.metrics import METRICS, Metric, metric, metrics_for
    from autoopt.task.prepare import prepare_task
    from autoopt.task.scoring import bootstrap_interval, dummy_scores, score
    from autoopt.task.snapshot import Part, Snapshot
    from autoopt.task.sources.demos import DEMOS

_LATER = {
    "METRICS": "autoopt.task.metrics",
    "Metric": "autoopt.task.metrics",
    "metric": "autoopt.task.metrics",
    "metrics_for": "autoopt.task.metrics",
    "PreparedTask": "autoopt.task.assemble",
    "prepare_task": "autoopt.task.prepare",
    "bootstrap_interval": "autoopt.task.scoring",
    "dummy_scores": "autoopt.task.scoring",
    "score": "autoopt.task.scoring",
    "Part": "autoopt.task.snapshot",
    "Snapshot": "autoopt.task.snapshot",
    "DEMOS": "autoopt.task.sources.demos",
}

__all__ = [
    "DEMOS",
    "METRICS",
    "ColumnFacts",
    "Kind",
    "Metric",
    "Modality",
    "Part",
    "PreparedTask",
    "Role",
    "Snapshot",
    "TaskFacts",
    "TaskOptions",
    "TensorFacts",
    "bootstrap_interval",
    "dummy_scores",
    "metric",
    "metrics_for",
    "prepare_task",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
