"""Who reads the rows of the next training steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, whole
from autoopt.strategies.learning.augment import CHANGES, Augment
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch

    from autoopt.strategies.learning.rows import Rows
    from autoopt.strategies.learning.source import Source

TRIED_WORKERS = (0, 1, 2, 4, 8)
"""By a probe, up to the slot's share of the cores."""


@final
@dataclass(frozen=True, kw_only=True)
class Loader(Strategy):
    """Loader processes (torch.utils.data.DataLoader): they read and decode rows while the training computes.

    With 0 workers the training reads for itself, which is best while rows are in memory. Workers pay where reading is
    work: encoded images, files larger than memory, transformations in Python; each takes a core while it reads.
    Batches come in the same order for any number of workers. Workers 0 to 8; prefetch is batches that each worker
    reads ahead, 1 to 8; persistent workers live for the whole training, others for an epoch.

    `augment_on` workers: images are augmented, in batches too, by whoever reads them, in the workers' time and on their
    cores. It pays where those would be idle, as beside a GPU that is busy. What is drawn is the same for any number of
    workers, and other than on the device, of the same distribution. Pairs are mixed on the device in any case: that
    takes their targets. A worker that gives no batch for `hang_s`, 1 to 3600 seconds, is taken to hang: give it more
    where a batch comes from far away.
    """

    name: ClassVar[str] = "loader"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.BATCHING
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True
    field_when: ClassVar = {"augment_on": {"augment": CHANGES}}

    workers: int = whole(0, low=0, high=8, help="processes that read rows; 0: the training reads for itself")
    prefetch: int = whole(2, low=1, high=8, help="batches that each worker reads ahead")
    persistent: bool = choice(True, False, help="whether workers live for the whole training, not for an epoch")
    augment_on: str = choice("device", "workers", help="where images are augmented: workers, whoever reads them")
    hang_s: int = whole(60, low=1, high=3600, log=True, help="seconds without a batch after which a worker hangs")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.module_facts is not None and task.module_facts.held:
            return "the items are the same each time, and are held as arrays"
        return "tables are held in memory" if task.modality is Modality.TABULAR else None

    @classmethod
    def candidates(cls, task: TaskFacts, slot: Slot) -> Mapping[str, tuple[Value, ...]]:
        found: dict[str, tuple[Value, ...]] = {"loader.workers": tuple(n for n in TRIED_WORKERS if n <= slot.threads)}
        if task.modality is Modality.IMAGES:
            found["loader.augment_on"] = ("device", "workers")
        return found

    def left_to_training(self, augment: Augment) -> Augment:
        """What of an augmentation the training does itself: all, or the mixing of pairs alone."""
        return replace(augment, policy="none") if self.augment_on == "workers" else augment

    def source(
        self, rows: "Rows", target: "torch.Tensor | None", device: "torch.device", *, classifies: bool, pinned: bool
    ) -> "Source":
        """Batches of those rows on `device`. Without `target` the last of the rows' arrays is the target."""
        from autoopt.strategies.learning.loader_source import LoaderSource

        return LoaderSource(rows, target, device, classifies=classifies, loader=self, pinned=pinned)
