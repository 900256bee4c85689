"""Measured quantities and the names they go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

QUALITY: Final = "quality"
"""Valid-split value of the task's metric, in the metric's own unit and direction."""
LATENCY_MS: Final = "latency_ms"
"""p50 at batch 1, one thread, the whole graph, raw columns in."""
LATENCY_P95_MS: Final = "latency_p95_ms"
LATENCY_BATCH_MS: Final = "latency_batch_ms"
"""p50 of one call with 256 rows, one thread."""
SIZE_BYTES: Final = "size_bytes"
"""Bytes of the deployed graph's file."""
QUALITY_DROP: Final = "quality_drop"
"""How much worse the deployed file is than the same trained model in float: a share of its quality, in percent."""
TRAIN_S: Final = "train_s"
PEAK_MEMORY_BYTES: Final = "peak_memory_bytes"

MEASURE_UNITS: Final[Mapping[str, str]] = {
    QUALITY: "",
    QUALITY_DROP: "%",
    LATENCY_MS: "ms",
    LATENCY_P95_MS: "ms",
    LATENCY_BATCH_MS: "ms",
    SIZE_BYTES: "bytes",
    TRAIN_S: "s",
    PEAK_MEMORY_BYTES: "bytes",
}
"""Every measure a limit or an objective may name, with its unit."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A value with the interval it was seen in; `provisional` when taken beside other work."""

    value: float
    low: float | None = None
    high: float | None = None
    provisional: bool = False

    def to_json(self) -> dict[str, float | bool | None]:
        return {"value": self.value, "low": self.low, "high": self.high, "provisional": self.provisional}

    @classmethod
    def from_json(cls, raw: Mapping[str, float | bool | None]) -> "Measurement":
        low, high = raw.get("low"), raw.get("high")
        return cls(
            value=float(raw["value"] or 0.0),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            provisional=bool(raw.get("provisional")),
        )


Measures = Mapping[str, Measurement]
