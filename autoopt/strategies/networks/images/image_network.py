"""What the networks for images have in common."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from autoopt.errors import StageFailure
from autoopt.strategies.base import real, whole
from autoopt.strategies.model import FEATURES, Prepared, TrainingData
from autoopt.strategies.networks.learner import Network
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import Modality
from autoopt.values import FailureReason

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import Tensor, nn

LEAST_SIDE = 8
COMFORTABLE_SIDE = 48
"""Pixels that a network without a stem stride is meant for; larger images are first brought below twice that."""


@dataclass(frozen=True, kw_only=True)
class PixelNetwork(Network):
    """Takes pixels as they are stored, uint8 (rows, h, w, 3), and normalizes them itself. Sides of 8 pixels or more."""

    modalities: ClassVar[tuple[Modality, ...]] = (Modality.IMAGES,)
    input_names: ClassVar[tuple[str, ...]] = (FEATURES,)

    dropout: float = real(0.0, low=0.0, high=0.7, help="share of the last layer's inputs left out in each step")
    epochs: int = whole(25, low=1, high=500, log=True, help="passes over the training images, at most")
    patience: int = whole(15, low=1, high=200, log=True, help="epochs without a better valid metric before the end")

    def inputs(self, prepared: Prepared) -> "tuple[Tensor, ...]":
        from autoopt.strategies.networks.images.pixels import pixel_tensor

        return (pixel_tensor(_pixels(prepared).pixels),)


@dataclass(frozen=True, kw_only=True)
class ImageNetwork(PixelNetwork):
    """One that begins with random weights."""

    @abstractmethod
    def body(self, height: int, width: int, outputs: int) -> "nn.Module":
        """Normalized images (rows, 3, h, w) → (rows, outputs), weights drawn from torch's generator."""

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from torch import nn

        from autoopt.strategies.networks.images.pixels import Normalize, moments

        height, width = sides(data)
        outputs = len(data.facts.classes) if data.facts.kind.classifies else 1
        normalize = Normalize(*moments(_pixels(data.train).pixels))
        return nn.Sequential(normalize, self.body(height, width, outputs))


def sides(data: TrainingData[Any]) -> tuple[int, int]:
    """(height, width) of the training images. Raises StageFailure where no network can learn from them."""
    rows, height, width, _ = _pixels(data.train).pixels.shape
    if rows < 2 or min(height, width) < LEAST_SIDE:
        message = f"a network for images needs 2 or more of {LEAST_SIDE}x{LEAST_SIDE} pixels or more"
        raise StageFailure(FailureReason.ERROR, f"{message}, and got {rows} of {height}x{width}")
    return height, width


def stem_step(stem_stride: int, height: int, width: int) -> int:
    """The stem's stride; 0 stands for the smallest of 1, 2, 4 that brings the shorter side below 96 pixels, if any."""
    if stem_stride > 0:
        return stem_stride
    side = min(height, width)
    return 1 if side < 2 * COMFORTABLE_SIDE else 2 if side < 4 * COMFORTABLE_SIDE else 4


def _pixels(prepared: Prepared) -> Pixels:
    if not isinstance(prepared, Pixels):
        raise StageFailure(
            FailureReason.ERROR, f"a network for images learns from pixels, not from {type(prepared).__name__}"
        )
    return prepared
