"""A small residual network for images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import choice, whole
from autoopt.strategies.networks.images.image_network import ImageNetwork, stem_step

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class ResidualNet(ImageNetwork):
    """A residual network of few, wide layers (He et al. 2016; the shape is Page 2018's, "How to train your ResNet").

    Convolutions of 3x3 with batch normalization and relu, widths 1, 2, 4 and 8 times `width`, the image halved three
    times, residual blocks at 2 and 8 times the width, the largest value of each channel into a linear layer. The first
    choice for small images and short trainings: the products are large, so they use a processor well. Wants sgd with
    nesterov, a one-cycle schedule up to a rate of about 0.1 and flip_crop augmentation. Quantizes well.

    width 4 to 128 channels of the first layer, rounded to a multiple of 4; depth 1 to 4 residual blocks at each of the
    two places; stem_stride 1 to 4: step of the first layer, 0 chooses by the image's size; dropout 0 to 0.7.
    """

    name: ClassVar[str] = "residual_net"
    any_size: ClassVar[bool] = True
    convolves: ClassVar[bool] = True

    width: int = whole(24, low=4, high=128, log=True, help="channels of the first layer, rounded to a multiple of 4")
    depth: int = whole(1, low=1, high=4, help="residual blocks at each of two places")
    stem_stride: int = choice(0, 1, 2, 4, help="step of the first layer; 0 chooses by the image's size")

    def body(self, height: int, width: int, outputs: int) -> "nn.Module":
        from autoopt.strategies.networks.images.residual_layers import ResidualBody

        return ResidualBody(
            side=min(height, width),
            channels=4 * max(round(self.width / 4), 1),
            blocks=self.depth,
            stride=stem_step(self.stem_stride, height, width),
            dropout=self.dropout,
            outputs=outputs,
        )
