"""The depthwise network's layers."""

from collections.abc import Iterator
from typing import final

from torch import Tensor, nn

from autoopt.strategies.networks.images.layers import STEM_KERNELS, Head, Residual, convolution
from autoopt.strategies.networks.images.pixels import initialise

STAGES = 3


@final
class DepthwiseBody(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Images (rows, 3, h, w) → (rows, outputs)."""

    def __init__(
        self, *, channels: int, blocks: int, expansion: int, stride: int, dropout: float, outputs: int
    ) -> None:
        super().__init__()
        last = channels * 2 ** (STAGES - 1)
        self.layers = nn.Sequential(
            convolution(3, channels, kernel=STEM_KERNELS[stride], stride=stride),
            *_blocks(channels, blocks, expansion),
            convolution(last, 2 * last, kernel=1),
        )
        self.head = Head(2 * last, outputs, dropout, largest=False)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images))


def _blocks(channels: int, blocks: int, expansion: int) -> Iterator[nn.Module]:
    """Of all stages; each but the first begins by halving the side and doubling the channels."""
    for stage in range(STAGES):
        width = channels * 2**stage
        for block in range(blocks):
            begins = stage > 0 and block == 0
            came, step = (width // 2, 2) if begins else (width, 1)
            wide = came * expansion
            layers = (
                convolution(came, wide, kernel=1),
                convolution(wide, wide, stride=step, groups=wide),
                convolution(wide, width, kernel=1, relu=False),
            )
            yield nn.Sequential(*layers) if begins else Residual(*layers)
