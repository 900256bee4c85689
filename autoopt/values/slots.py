"""A slot: one accelerator, or one share of the CPU, with its thread budget."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

DeviceKind = Literal["cpu", "cuda", "mps", "xpu"]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Where an attempt runs. `features` are facts about the device, such as 'bf16', 'fp16', 'vnni'."""

    index: int
    device: DeviceKind = "cpu"
    device_index: int = 0
    threads: int = 1
    features: frozenset[str] = frozenset()
    peers: int = 1  # slots of its device's kind that the study has, itself included

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "features": sorted(self.features)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Slot":
        return cls(**{**raw, "features": frozenset(raw["features"])})
