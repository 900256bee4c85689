"""Who reads the rows of the next training steps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, choice, whole
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch

    from autoopt.strategies.learning.rows import Rows
    from autoopt.strategies.learning.source import Source


@final
@dataclass(frozen=True, kw_only=True)
class Loader(Strategy):
    """Loader processes (torch.utils.data.DataLoader): they read and decode rows while the training computes.

    With 0 workers the training reads for itself, which is best while rows are in memory. Workers pay where reading is
    work: encoded images, files larger than memory, transformations in Python; each takes a core while it reads.
    Batches come in the same order for any number of workers. Workers 0 to 8; prefetch is batches that each worker
    reads ahead, 1 to 8; persistent workers live for the whole training, others for an epoch.
    """

    name: ClassVar[str] = "loader"
    stage: ClassVar[Stage] = "train"
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True

    workers: int = whole(0, low=0, high=8, help="processes that read rows; 0: the training reads for itself")
    prefetch: int = whole(2, low=1, high=8, help="batches that each worker reads ahead")
    persistent: bool = choice(True, False, help="whether workers live for the whole training, not for an epoch")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return "tables are held in memory" if task.modality is Modality.TABULAR else None

    def source(
        self, rows: "Rows", target: "torch.Tensor | None", device: "torch.device", *, classifies: bool, pinned: bool
    ) -> "Source":
        """Batches of those rows on `device`. Without `target` the last of the rows' arrays is the target."""
        from autoopt.strategies.learning.loader_source import LoaderSource

        return LoaderSource(rows, target, device, classifies=classifies, loader=self, pinned=pinned)
