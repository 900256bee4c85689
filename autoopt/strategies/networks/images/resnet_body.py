"""ResNets as torchvision and timm build them, by the names of their layers: pre-trained weights fit into them."""

from typing import final

from torch import Tensor, nn

from autoopt.strategies.networks.images.body import Body, convolving
from autoopt.task.images.architectures import ResidualBlock, ResNet


@final
class ResNetBody(Body):
    """A quarter of the side after the stem, then a half of that in each stage but the first."""

    def __init__(self, shape: ResNet) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, shape.stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.stem)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(*map(_Block, blocks)) for blocks in shape.stages
        )

    def last_stage(self) -> tuple[nn.Module, ...]:
        return (self.layer4,)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.pool(self.bn1(self.conv1(images)).relu())
        return self.layer4(self.layer3(self.layer2(self.layer1(hidden))))


@final
class _Block(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Convolutions conv1, conv2, ... with their normalizations bn1, bn2, ..., and the skip."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.count = len(block.convolutions)
        for place, (convolution, stride) in enumerate(zip(block.convolutions, block.strides, strict=True), start=1):
            self.add_module(f"conv{place}", convolving(convolution, stride))
            self.add_module(f"bn{place}", nn.BatchNorm2d(convolution.went))
        shortcut, self.downsample = block.shortcut, None
        if shortcut is not None:
            self.downsample = nn.Sequential(convolving(shortcut, block.stride), nn.BatchNorm2d(shortcut.went))

    def forward(self, hidden: Tensor) -> Tensor:
        found = hidden
        for place in range(1, self.count + 1):
            found = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(found))
            if place < self.count:
                found = found.relu()
        skipped = hidden if self.downsample is None else self.downsample(hidden)
        return (found + skipped).relu()
