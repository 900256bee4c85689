"""In which order the numbers of images lie in memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn

IMAGE_DIMENSIONS = 3
"""Of one row: height, width and channels in some order."""


@final
@dataclass(frozen=True, kw_only=True)
class MemoryFormat(Strategy):
    """The layout of convolutions' weights, and with it of what flows through them.

    * contiguous: channel by channel, as torch does by default.
    * channels_last: all channels of a pixel together, as the fast kernels of CPUs and tensor cores read them; spares
      them a reordering in each layer. The results are the same up to rounding.

    For networks that see images. It changes the speed of training only.
    """

    name: ClassVar[str] = "memory_format"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.ACCELERATOR
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True

    order: str = choice("contiguous", "channels_last", main=True, help="layout of images and convolutions in training")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality in (Modality.IMAGES, Modality.MODULE) and any(
            len(tensor.shape) == IMAGE_DIMENSIONS for tensor in task.tensors
        ):
            return None
        return "no input of this task is an image"

    def lay_out(self, network: "nn.Module") -> None:
        """Put the network's convolutions, and what our own networks give to the first, in this order, in place."""
        import torch

        from autoopt.strategies.networks.images.pixels import Normalize

        layout = torch.channels_last if self.order == "channels_last" else torch.contiguous_format
        network.to(memory_format=layout)
        for module in network.modules():
            if isinstance(module, Normalize):
                module.layout = layout
