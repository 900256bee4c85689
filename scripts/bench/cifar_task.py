"""A small residual network on CIFAR-10 images, as somebody's own project has it: network, datasets, loss, metric.

The archive of images, a folder a class, is named by the environment variable CIFAR_ARCHIVE.
"""

import io
import os
import tarfile
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import autoopt

TRAIN, VALID = 0.7, 0.8


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first_norm(self.first(x)))
        hidden = self.second_norm(self.second(hidden))
        return torch.relu(hidden + (x if self.skip is None else self.skip(x)))


def build() -> nn.Module:
    """A residual network of three levels, 0.7 million weights."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Block(32, 32, 1),
        Block(32, 64, 2),
        Block(64, 64, 1),
        Block(64, 128, 2),
        Block(128, 128, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


@cache
def images() -> tuple[Tensor, Tensor]:
    """Pixels (rows, 3, 32, 32), about standardised, and classes (rows,), in a fixed random order."""
    pixels, labels = [], []
    with tarfile.open(os.environ["CIFAR_ARCHIVE"]) as archive:
        for member in sorted((m for m in archive if m.isfile()), key=lambda m: m.name):
            file = archive.extractfile(member)
            assert file is not None
            pixels.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
            labels.append(member.name.split("/")[-2])
    names = sorted(set(labels))
    order = np.random.default_rng(0).permutation(len(pixels))
    stacked = torch.from_numpy(np.stack(pixels)[order]).permute(0, 3, 1, 2).float()
    classes = torch.tensor([names.index(label) for label in labels])[torch.from_numpy(order)]
    return ((stacked / 255 - 0.45) / 0.25).contiguous(), classes


def part(start: float, end: float) -> TensorDataset:
    pixels, classes = images()
    rows = slice(int(start * len(pixels)), int(end * len(pixels)))
    return TensorDataset(pixels[rows], classes[rows])


def task() -> autoopt.ModuleTask:
    return autoopt.ModuleTask(
        build=build,
        train=part(0, TRAIN),
        valid=part(TRAIN, VALID),
        test=part(VALID, 1),
        loss="cross_entropy",
        metric="accuracy",
    )
