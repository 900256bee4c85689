"""Layers that several image networks are made of."""

from typing import final

from torch import Tensor, nn

STEM_KERNELS = {1: 3, 2: 3, 4: 7}
"""Side of the first convolution for its stride: neighbouring windows overlap."""

LARGEST_SCALE = 0.125
"""Of outputs of the channels' largest values, which are far from zero: without it the last layer takes steps that are
too large at rates that are right for the others (Page 2018)."""


def convolution(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution, batch normalization and, unless told, relu; the side becomes ceil(side / stride)."""
    product = nn.Conv2d(
        channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    layers = [product, nn.BatchNorm2d(channels_out)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


@final
class Residual(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """x + inner(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.inner(hidden)


@final
class Head(nn.Module):  # type: ignore[misc]
    """Channels (rows, c, h, w), pooled over the places, through dropout into a linear layer."""

    def __init__(self, channels: int, outputs: int, dropout: float, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        if self.largest:
            return self.linear(self.dropout(hidden.amax(dim=(2, 3)))) * LARGEST_SCALE
        return self.linear(self.dropout(hidden.mean(dim=(2, 3))))
