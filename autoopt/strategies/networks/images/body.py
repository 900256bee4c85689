"""What the pre-trained bodies have in common, and what stands before them."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, final

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from autoopt.strategies.networks.images.pixels import Normalize
from autoopt.task.images.architectures import Convolution

ALL, LAST_STAGE, HEAD = "all", "last_stage", "head"
"""How much of a network learns; the rest stays as it came."""

_MEANS: Final = (0.485, 0.456, 0.406)
_DEVIATIONS: Final = (0.229, 0.224, 0.225)


class Body(nn.Module, ABC):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Images (rows, 3, h, w) → channels (rows, c, h / 32, w / 32). Its layers' names are those of the weights' file."""

    learning_rate_share = 1.0  # the optimizer goes by it

    @abstractmethod
    def last_stage(self) -> tuple[nn.Module, ...]:
        """The layers after the last halving of the image, that one included."""

    def learn(self, what: str, rate_share: float) -> None:
        """Let ALL of it learn, its LAST_STAGE or nothing (HEAD), at that share of the learning rate."""
        self.learning_rate_share = rate_share
        self.requires_grad_(what == ALL)
        if what == LAST_STAGE:
            for layer in self.last_stage():
                layer.requires_grad_(True)

    def train(self, mode: bool = True) -> "Body":
        """As any module, but normalizations that do not learn keep the statistics that they came with."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
                layer.eval()
        return self

    def begin_with(self, file: Path) -> None:
        """Take over the weights of a safetensors file, in whatever number format they are; other tensors are left."""
        tensors = load_file(file)
        # An old file may lack the normalizations' counters, which nothing here goes by.
        self.load_state_dict({name: tensors.get(name, value) for name, value in self.state_dict().items()})


@final
class Enlarged(nn.Module):  # type: ignore[misc]
    """Images (rows, 3, height, width), enlarged to a shorter side of `least_side` pixels where theirs is less."""

    def __init__(self, height: int, width: int, least_side: int) -> None:
        super().__init__()
        scale = max(least_side / min(height, width), 1.0)
        self.size = (round(scale * height), round(scale * width)) if scale > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        if self.size is None:
            return images
        return nn.functional.interpolate(images, size=self.size, mode="bilinear", align_corners=False)


def convolving(convolution: Convolution, stride: int) -> nn.Conv2d:
    """The layer, without a bias: a normalization follows each."""
    return nn.Conv2d(
        convolution.came,
        convolution.went,
        convolution.side,
        stride=stride,
        padding=convolution.side // 2,
        groups=convolution.groups,
        bias=False,
    )


def usual_normalization() -> Normalize:
    """By the moments of ImageNet's pixels, which the weights of torchvision and timm expect."""
    grey_levels = 255 * np.array([_MEANS, _DEVIATIONS], dtype=np.float32)
    return Normalize(grey_levels[0], grey_levels[1])
