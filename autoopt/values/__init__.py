"""Frozen values that every floor above may use. No behaviour beyond their own arithmetic."""

from autoopt.values.limits import (
    DEFAULT_OBJECTIVES,
    Budget,
    Direction,
    Limit,
    Objective,
    broken,
    parse_limits,
    parse_objectives,
)
from autoopt.values.measures import (
    LATENCY_BATCH_MS,
    LATENCY_MS,
    LATENCY_P95_MS,
    MEASURE_UNITS,
    PEAK_MEMORY_BYTES,
    QUALITY,
    QUALITY_DROP,
    SIZE_BYTES,
    TRAIN_S,
    Measurement,
    Measures,
)
from autoopt.values.quantities import format_bytes, format_seconds, parse_bytes, parse_duration_s
from autoopt.values.ranks import Rank
from autoopt.values.slots import DeviceKind, Slot
from autoopt.values.speed import faster_beyond_noise
from autoopt.values.status import AttemptState, FailureReason, StudyState, TrialState

__all__ = [
    "DEFAULT_OBJECTIVES",
    "LATENCY_BATCH_MS",
    "LATENCY_MS",
    "LATENCY_P95_MS",
    "MEASURE_UNITS",
    "PEAK_MEMORY_BYTES",
    "QUALITY",
    "QUALITY_DROP",
    "SIZE_BYTES",
    "TRAIN_S",
    "AttemptState",
    "Budget",
    "DeviceKind",
    "Direction",
    "FailureReason",
    "Limit",
    "Measurement",
    "Measures",
    "Objective",
    "Rank",
    "Slot",
    "StudyState",
    "TrialState",
    "broken",
    "faster_beyond_noise",
    "format_bytes",
    "format_seconds",
    "parse_bytes",
    "parse_duration_s",
    "parse_limits",
    "parse_objectives",
]
