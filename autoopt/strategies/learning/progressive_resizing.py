"""Smaller images in the first epochs."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, final

from autoopt.strategies.base import ANY_SIZE, Stage, Strategy, Topic, choice, real
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import Tensor

    from autoopt.strategies.learning.source import Batch

NONE: Final = "none"
WHOLE: Final = 8
"""Eighths."""
_EIGHTHS: Final = {NONE: WHOLE, "three_quarters": 6, "half": 4}
LEAST_SIDE: Final = 16
"""Of whole images: half of it is what networks for images still take."""


@final
@dataclass(frozen=True, kw_only=True)
class ProgressiveResizing(Strategy):
    """Progressive resizing: a training begins with small images, which grow to their own size.

    What: the first epoch sees `three_quarters` or `half` of each side, scaled down with antialiasing after any
    augmentation; the side then grows in eighths until `grown_by` of the epochs are done, 0.2 to 0.9. Valid is judged,
    and the network deployed, with whole images.
    Helps: an epoch on half the side takes about a quarter of the time, so more epochs fit into it, and what is coarse
    is learned first. For networks that take images of any size: convolutions that end in a mean or largest value over
    the places. Not where each image is nothing but fine detail, and not in trainings of a few epochs.
    Reference: Howard 2018 (fast.ai's DAWNBench entry); Tan & Le 2021 (EfficientNetV2), arXiv:2104.00298.
    """

    name: ClassVar[str] = "progressive_resizing"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.PREPROCESSING
    when: ClassVar = {"model": ANY_SIZE}
    field_when: ClassVar = {"grown_by": {"progressive_resizing": ("three_quarters", "half")}}

    start: str = choice(NONE, "three_quarters", "half", main=True, help="share of the side that the first epoch sees")
    grown_by: float = real(0.6, low=0.2, high=0.9, help="share of the epochs after which images have their own size")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        axes = task.image_axes
        if axes is None:
            own = task.modality is Modality.MODULE
            return "the module takes no images, or of one size only" if own else "the data are no images"
        side = min(tensor.shape[axis] for tensor in task.tensors if len(tensor.shape) == 3 for axis in axes)
        return None if side >= LEAST_SIDE else f"images of {side} pixels a side are small as they are"

    @property
    def grows(self) -> bool:
        """Whether the first epochs see smaller images."""
        return self.start != NONE

    def eighths(self, progress: float) -> int:
        """Of each side that are seen when that share of the epochs, 0 to 1, is done."""
        first = _EIGHTHS[self.start]
        return first + int((WHOLE - first) * min(progress / self.grown_by, 1.0))

    def mean_epoch_s(self, first_s: float, whole_s: float, epochs: int) -> float:
        """Seconds of an epoch, on average, of one that takes `first_s` on the smallest and `whole_s` on whole images.

        In between they are taken to go with the area.
        """
        areas = [self.eighths(epoch / epochs) ** 2 for epoch in range(epochs)]
        least = self.eighths(0.0) ** 2
        shares = [(area - least) / max(WHOLE**2 - least, 1) for area in areas]
        return first_s + (whole_s - first_s) * sum(shares) / epochs

    def apply(self, batch: "Batch", progress: float, axes: tuple[int, int]) -> "Batch":
        """The batch as it is seen when that share of the epochs is done; `axes` of one row are its height and width.

        Inputs that are no images (rows, and three more dimensions) stay as they are.
        """
        eighths = self.eighths(progress)
        if eighths == WHOLE:
            return batch
        return replace(batch, inputs=tuple(_scaled(v, axes, eighths) if v.ndim == 4 else v for v in batch.inputs))


def _scaled(images: "Tensor", axes: tuple[int, int], eighths: int) -> "Tensor":
    """Images whose rows have height and width at `axes`, of the same number format, so many eighths of the side."""
    import torch
    from torch.nn.functional import interpolate

    places = (axes[0] + 1, axes[1] + 1)
    planes = images.movedim(places, (2, 3))
    size = [max(1, round(side * eighths / WHOLE)) for side in planes.shape[2:]]
    scaled = interpolate(planes.to(torch.float32), size=size, mode="bilinear", antialias=True, align_corners=False)
    if not images.is_floating_point():
        scaled = scaled.round()
    return scaled.to(images.dtype).movedim((2, 3), places)
