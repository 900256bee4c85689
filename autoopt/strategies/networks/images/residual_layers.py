"""The residual network's layers."""

from typing import final

from torch import Tensor, nn

from autoopt.strategies.networks.images.layers import STEM_KERNELS, Head, Residual, convolution
from autoopt.strategies.networks.images.pixels import initialise

LEAST_POOLED_SIDE = 4


@final
class ResidualBody(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Images (rows, 3, h, w) → (rows, outputs)."""

    def __init__(self, *, side: int, channels: int, blocks: int, stride: int, dropout: float, outputs: int) -> None:
        super().__init__()
        self._side = -(-side // stride)
        c = channels
        self.layers = nn.Sequential(
            convolution(3, c, kernel=STEM_KERNELS[stride], stride=stride),
            convolution(c, 2 * c),
            self._pool(),
            *(_block(2 * c) for _ in range(blocks)),
            convolution(2 * c, 4 * c),
            self._pool(),
            convolution(4 * c, 8 * c),
            self._pool(),
            *(_block(8 * c) for _ in range(blocks)),
        )
        self.head = Head(8 * c, outputs, dropout, largest=True)
        initialise(self)

    def _pool(self) -> nn.Module:
        """Halves the side, while it is large enough to be halved."""
        if self._side < LEAST_POOLED_SIDE:
            return nn.Identity()
        self._side //= 2
        return nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images))


def _block(channels: int) -> nn.Module:
    return Residual(convolution(channels, channels), convolution(channels, channels))
