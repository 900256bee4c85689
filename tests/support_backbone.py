"""Files of pre-trained weights, small ones with random numbers, and what such networks compute, written down anew."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from support_squares import squares
from torch import Tensor
from torch.nn import functional

from autoopt.strategies.model import TrainingData
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import Kind
from autoopt.task.images.architectures import Convolution, InvertedBlock, MobileNetV2, ResidualBlock, ResNet

MOBILE_NETS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of MobileNetV2's paper: expansion, channels, blocks and the first one's stride."""


def resnet(*depths: int, width: int = 8, bottleneck: bool = False, groups: int = 1) -> ResNet:
    """As its paper builds it, `width` channels in the first stage; 1 1 1 1 blocks unless told."""
    came, stages = width, []
    for stage, depth in enumerate(depths or (1, 1, 1, 1)):
        blocks = []
        for number in range(depth):
            inner = width * 2**stage
            shapes = [(inner, 1, 1), (inner, 3, groups), (4 * inner, 1, 1)] if bottleneck else [(inner, 3, 1)] * 2
            convolutions = []
            for went, side, grouped in shapes:
                convolutions.append(Convolution(came=came, went=went, side=side, groups=grouped))
                came = went
            blocks.append(ResidualBlock(convolutions=tuple(convolutions), stride=2 if stage and not number else 1))
        stages.append(tuple(blocks))
    return ResNet(stem=width, stages=tuple(stages))


def mobilenet(share: float = 1.0) -> MobileNetV2:
    """As its paper builds it, with that share of its channels."""
    came = stem = round(32 * share)
    blocks = []
    for expansion, channels, count, stride in MOBILE_NETS:
        for number in range(count):
            block = InvertedBlock(
                came=came,
                wide=came * expansion,
                went=round(channels * share),
                stride=1 if number else stride,
                widens=expansion > 1,
            )
            blocks.append(block)
            came = block.went
    return MobileNetV2(stem=stem, blocks=tuple(blocks), last=round(1280 * share))


SMALL: Mapping[str, ResNet | MobileNetV2] = {
    "resnet": resnet(),
    "bottleneck": resnet(1, 2, 1, 1, bottleneck=True),
    "resnext": resnet(bottleneck=True, groups=4),
    "mobilenet": mobilenet(0.25),
}


def tensors_of(architecture: ResNet | MobileNetV2, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under which signals keep about their size, and a last layer of ten classes."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in architecture.shapes().items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 4:
            found[name] = noise * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith("running_var"):
            found[name] = 1 + 0.2 * noise.abs()
            found[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
        else:
            found[name] = 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)
    last = "fc" if isinstance(architecture, ResNet) else "classifier.1"
    found[f"{last}.weight"] = torch.randn((10, architecture.channels), generator=generator)
    found[f"{last}.bias"] = torch.zeros(10)
    return found


def write_weights(path: Path, name: str = "resnet", *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """A safetensors file of one of SMALL."""
    tensors = tensors_of(SMALL[name], seed)
    save_file({n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}, path)
    return path


def pictures(
    weights: Path | None, rows: int = 60, side: int = 16, kind: Kind = Kind.MULTICLASS
) -> TrainingData[Pixels]:
    """Coloured squares, and weights to begin with."""
    return replace(squares(rows, side, side, kind), pretrained=weights)


def reference_resnet(path: Path, images: Tensor) -> Tensor:
    """Channels (rows, c, h, w) of a ResNet in evaluation mode, by torchvision's names alone: no module of ours."""
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}

    def normal(hidden: Tensor, name: str) -> Tensor:
        parts: list[Any] = [tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(hidden, *parts)

    def convolved(hidden: Tensor, name: str, stride: int = 1) -> Tensor:
        weights = tensors[f"{name}.weight"]
        groups = hidden.shape[1] // weights.shape[1]
        return functional.conv2d(hidden, weights, stride=stride, padding=weights.shape[2] // 2, groups=groups)

    hidden = functional.max_pool2d(functional.relu(normal(convolved(images, "conv1", 2), "bn1")), 3, 2, 1)
    blocks = sorted({n.rpartition(".conv1")[0] for n in tensors if n.startswith("layer") and ".conv1." in n})
    for block in blocks:
        stride = 2 if block.endswith(".0") and not block.startswith("layer1") else 1
        basic = f"{block}.conv3.weight" not in tensors
        found = functional.relu(normal(convolved(hidden, f"{block}.conv1", stride if basic else 1), f"{block}.bn1"))
        found = normal(convolved(found, f"{block}.conv2", 1 if basic else stride), f"{block}.bn2")
        if not basic:
            found = normal(convolved(functional.relu(found), f"{block}.conv3"), f"{block}.bn3")
        if f"{block}.downsample.0.weight" in tensors:
            hidden = normal(convolved(hidden, f"{block}.downsample.0", stride), f"{block}.downsample.1")
        hidden = functional.relu(found + hidden)
    return hidden


def parameters(architecture: ResNet | MobileNetV2) -> int:
    """How many weights it has, its last layer and the running statistics left out."""
    counted = (shape for name, shape in architecture.shapes().items() if "running" not in name)
    return sum(int(np.prod(shape)) for shape in counted)


def usually_normalized(pixels: NDArray[np.uint8]) -> Tensor:
    """Images (rows, h, w, 3) as torchvision's pre-trained networks take them: (rows, 3, h, w)."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.tensor(pixels).float() / 255 - mean) / deviation).permute(0, 3, 1, 2)
