"""A network of depthwise-separable convolutions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import choice, whole
from autoopt.strategies.networks.images.image_network import ImageNetwork, stem_step

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class DepthwiseNet(ImageNetwork):
    """Inverted residual blocks (Sandler et al. 2018, "MobileNetV2").

    Each block widens by a 1x1 convolution, looks around channel by channel with a 3x3 one, and narrows again; three
    stages of `depth` blocks at 1, 2 and 4 times `width`, the image halved between them; means of the channels into a
    linear layer. Few weights and few products for its quality: for limits on size and latency. Training is slower than
    the number of products lets one hope, as depthwise convolutions move more memory than they compute.

    width 8 to 128 channels, rounded to a multiple of 8; depth 1 to 5 blocks a stage; expansion 1 to 6 times the width
    within a block; stem_stride 1 to 4: step of the first layer, 0 chooses by the image's size; dropout 0 to 0.7.
    """

    name: ClassVar[str] = "depthwise_net"
    any_size: ClassVar[bool] = True
    convolves: ClassVar[bool] = True

    width: int = whole(32, low=8, high=128, log=True, help="channels of the first stage, rounded to a multiple of 8")
    depth: int = whole(2, low=1, high=5, help="blocks of each of the three stages")
    expansion: int = whole(3, low=1, high=6, help="times the width within a block")
    stem_stride: int = choice(0, 1, 2, 4, help="step of the first layer; 0 chooses by the image's size")

    def body(self, height: int, width: int, outputs: int) -> "nn.Module":
        from autoopt.strategies.networks.images.depthwise_layers import DepthwiseBody

        return DepthwiseBody(
            channels=8 * max(round(self.width / 8), 1),
            blocks=self.depth,
            expansion=self.expansion,
            stride=stem_step(self.stem_stride, height, width),
            dropout=self.dropout,
            outputs=outputs,
        )
