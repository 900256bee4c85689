"""How many of the stored pixels a network sees."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from autoopt.space.domains import Value
from autoopt.strategies.base import Stage, Strategy, choice
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:
    from autoopt.strategies.graph import GraphBuilder

FULL: Final = "full"
_SHARES: Final = {FULL: 1.0, "three_quarters": 0.75, "half": 0.5}
LEAST_SIDE: Final = 8


@final
@dataclass(frozen=True, kw_only=True)
class Resolution(Strategy):
    """The share of an image's stored side that the network sees.

    What: `three_quarters` and `half` scale every image down, linearly and with antialiasing, before the network; the
    scaling is part of the deployed graph, so that it is given images of the stored size whatever is chosen here.
    Helps: a network's time and memory go with the square of the side: half the side trains and predicts about four
    times faster, and a search tries more in its time. What hangs on fine detail is learned worse.
    Ranges: full, three_quarters, half; at least 8 pixels a side stay. Units: share of the stored side.
    Reference: Tan & Le 2019 (EfficientNet: resolution is scaled like width and depth), arXiv:1905.11946.
    """

    name: ClassVar[str] = "resolution"
    stage: ClassVar[Stage] = "prepare"

    resolution: str = choice(FULL, "three_quarters", "half", main=True, help="share of the stored side that is seen")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.modality is Modality.IMAGES else "the data are no images"

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        height, width, _ = task.tensors[0].shape
        seen = min(scaled_size(str(value), height, width))
        if value == FULL or seen >= LEAST_SIDE:
            return None
        return f"of {height}x{width} pixels {seen} a side would be left, and {LEAST_SIDE} are the least"


def scaled_size(resolution: str, height: int, width: int) -> tuple[int, int]:
    """(height, width) that the network sees of images stored at that size, at least one pixel each."""
    share = _SHARES[resolution]
    return max(1, round(share * height)), max(1, round(share * width))


def emit_resolution(graph: "GraphBuilder", pixels: str, resolution: str, height: int, width: int) -> str:
    """Name of the scaled pixels, uint8 (rows, h, w, 3), from uint8 (rows, height, width, 3); the same name for full."""
    if resolution == FULL:
        return pixels
    size = np.array(scaled_size(resolution, height, width), dtype=np.int64)
    return graph.add("Resize", pixels, "", "", graph.constant(size), mode="linear", antialias=1, axes=[1, 2])
