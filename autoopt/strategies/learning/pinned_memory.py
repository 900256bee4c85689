"""Where batches wait for their copy to a GPU."""

from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot


@final
@dataclass(frozen=True, kw_only=True)
class PinnedMemory(Strategy):
    """Whether batches wait in page-locked memory on their way to a GPU.

    A GPU copies from there by itself, while the training goes on. Useful where batches come from files or loader
    workers; data that already lie on the GPU do not pass through it. Costs memory that cannot be swapped.
    """

    name: ClassVar[str] = "pinned_memory"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.MEMORY
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True

    pinned: bool = choice(True, False, main=True, help="whether batches wait in page-locked memory")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality is Modality.TABULAR:
            return "tables are held in memory"
        return (
            None if slot.device == "cuda" else f"memory is pinned for copies to a GPU, and this slot is {slot.device}"
        )
