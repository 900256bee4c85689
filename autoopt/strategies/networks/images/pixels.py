"""What the image networks begin with: pixels as they are stored, normalized by the train part's moments."""

import warnings
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoopt.task.spreading import spread_rows

MOMENT_IMAGES = 4096
"""Images that the moments are taken from: spread over the part, as more would not move them."""
LEAST_DEVIATION = 1.0
"""In grey levels, for images of one colour."""


@final
class Normalize(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Pixels (rows, h, w, 3), uint8 or float 0..255 → float32 (rows, 3, h, w), about mean 0 and deviation 1.

    The result is a view in NHWC order, which torch calls channels_last: convolutions are faster on it. A `layout` of
    contiguous_format asks for a copy in NCHW order: convolutions work in the order of what they are given, whatever
    their weights'.
    """

    mean: Tensor
    deviation: Tensor
    layout: torch.memory_format = torch.channels_last

    def __init__(self, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, pixels: Tensor) -> Tensor:
        normal = ((pixels.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)
        return normal.contiguous() if self.layout is torch.contiguous_format else normal


def moments(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation (3,) of each channel of images (rows, h, w, 3), in grey levels."""
    rows = spread_rows(len(pixels), MOMENT_IMAGES)
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for some in np.array_split(rows, max(len(rows) // 256, 1)):
        values = pixels[some].reshape(-1, 3).astype(np.float64)
        total, squares, count = total + values.sum(axis=0), squares + (values**2).sum(axis=0), count + len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return mean.astype(np.float32), np.maximum(deviation, LEAST_DEVIATION).astype(np.float32)


def pixel_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """The same memory as a tensor, mapped from disk where the array is; only to be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels)


def initialise(network: nn.Module) -> None:
    """Convolutions after He et al. 2015, so that signals keep their size through relu; the rest as torch has it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
