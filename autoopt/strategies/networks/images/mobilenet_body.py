"""MobileNetV2 as torchvision builds it, by the names of its layers: pre-trained weights fit into it."""

from typing import final

from torch import Tensor, nn

from autoopt.strategies.networks.images.body import Body, convolving
from autoopt.task.images.architectures import Convolution, InvertedBlock, MobileNetV2


@final
class MobileNetBody(Body):
    """Half of the side after the stem; four of the inverted blocks halve it again."""

    def __init__(self, shape: MobileNetV2) -> None:
        super().__init__()
        stem = Convolution(came=3, went=shape.stem, side=3)
        end = Convolution(came=shape.blocks[-1].went, went=shape.last, side=1)
        self.features = nn.Sequential(_layer(stem, 2), *(_Block(block) for block in shape.blocks), _layer(end, 1))
        self.last_halving = max(k for k, block in enumerate(shape.blocks, start=1) if block.stride > 1)

    def last_stage(self) -> tuple[nn.Module, ...]:
        return tuple(self.features[self.last_halving :])

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)


@final
class _Block(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """An inverted block; its last layers are narrow and without an activation."""

    def __init__(self, block: InvertedBlock) -> None:
        super().__init__()
        *wide, (_, narrow, _) = block.normalized
        layers = [_layer(convolution, block.stride if convolution.side > 1 else 1) for _, convolution, _ in wide]
        self.conv = nn.Sequential(*layers, convolving(narrow, 1), nn.BatchNorm2d(narrow.went))
        self.skips = block.skips

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv(hidden) if self.skips else self.conv(hidden)


def _layer(convolution: Convolution, stride: int) -> nn.Sequential:
    return nn.Sequential(convolving(convolution, stride), nn.BatchNorm2d(convolution.went), nn.ReLU6())
