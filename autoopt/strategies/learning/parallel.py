"""Whether several slots train one network together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, whole
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import DeviceKind, Slot

NONE: Final = "none"
DATA_PARALLEL: Final = "data_parallel"
DDP: Final = "ddp"


@final
@dataclass(frozen=True, kw_only=True)
class Parallel(Strategy):
    """One training on several slots.

    * none: on one.
    * data_parallel: one process copies the network to `ranks` GPUs in each step and splits the batch among them, by
      torch's DataParallel. Slower than ddp and not compiled; for networks that do not take well to several processes.
      On the CPU it silently does nothing, so it is refused there.
    * ddp: distributed data parallel (Li et al. 2020): a process on each of `ranks` slots has a copy of the network,
      takes its share of every batch, and all take the same step with the sum of their gradients, exchanged by NCCL
      between GPUs and by gloo on the CPU. batch_size is that of all together, so the result means the same and equals
      that of one process up to rounding. What is drawn at random is drawn by each rank for itself, and batch
      normalization sees a rank's share, as in torch's own; what it has seen is the first rank's.

    The slots begin and end together: when one process fails, the training does, and is tried again from its checkpoint.
    Fine-tuning after pruning is done by one. Made for large networks on several GPUs; on the CPU it seldom pays, as
    ranks lose to waiting for each other what they gain.

    Where a recipe leaves it open, the first training of an architecture that finds all slots idle begins with them and
    measures both ways in turns: samples a second of the ranks in lock-step, and of the same ranks side by side, each at
    a training of its own, as a search would use them otherwise. With less than 0.95 of that they part at once, and the
    verdict is kept for machine and architecture. ranks 2 to 8, at most the study's slots.
    """

    name: ClassVar[str] = "parallel"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.PARALLEL
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {"ranks": {"parallel": (DATA_PARALLEL, DDP)}}
    speed_only: ClassVar[bool] = True
    most_ranks: ClassVar[int] = 8
    devices: ClassVar[tuple[DeviceKind, ...]] = ("cpu", "cuda")

    form: str = choice(NONE, DATA_PARALLEL, DDP, main=True, help="whether several slots train one network together")
    ranks: int = whole(2, low=2, high=most_ranks, help="slots that do, at most those that the study has")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality is Modality.TABULAR:
            return "a step on a table takes less time than processes need to agree on it"
        return None

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        if value == NONE:
            return None
        if value == DATA_PARALLEL and slot.device != "cuda":
            return f"torch's DataParallel splits batches among GPUs, on a slot that is {slot.device} it does nothing"
        if slot.device not in cls.devices:
            return f"gradients are exchanged between {' or '.join(cls.devices)} slots, and this one is {slot.device}"
        return None if slot.peers > 1 else "the study has one slot of a kind; --slots 2 gives two where there are two"

    @classmethod
    def candidates(cls, task: TaskFacts, slot: Slot) -> Mapping[str, tuple[Value, ...]]:
        """None: a training cannot try it by itself, it takes the other slots."""
        return {}
