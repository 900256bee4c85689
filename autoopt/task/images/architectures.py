"""Networks that weights can be for, told by the names and shapes of their tensors.

The names are those that torchvision gives; timm names the layers of its ResNets alike. What is known of a network here
is enough to build it; `strategies.networks.images` does.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, final

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Of tensors, by their names in the file."""

_STAGES = (1, 2, 3, 4)
_STEM_SIDE = 7
_INVERTED_BLOCKS = 17
_HALVING = (2, 4, 7, 14)
"""Inverted blocks of MobileNetV2, counted from 1, that halve the image: no shape tells."""


class Architecture(Protocol):
    """A network up to the place where its last linear layer would be."""

    head: ClassVar[str]
    """What the names of its own last layer begin with: that layer is left behind."""

    @property
    def channels(self) -> int:
        """That come out of it."""

    @property
    def words(self) -> str:
        """What it is called."""

    def shapes(self) -> Shapes:
        """Of every tensor that it needs; the counters of normalizations are not among them."""


@final
@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A square convolution without bias, with as much padding as keeps the image's size."""

    came: int  # channels in
    went: int  # channels out
    side: int
    groups: int = 1

    @property
    def shape(self) -> Shape:
        """Of its weights."""
        return (self.went, self.came // self.groups, self.side, self.side)


@final
@dataclass(frozen=True, kw_only=True)
class ResidualBlock:
    """Convolutions and a skip over them; the first one that looks around takes the stride."""

    convolutions: tuple[Convolution, ...]
    stride: int

    @property
    def shortcut(self) -> Convolution | None:
        """What the skip goes through where shapes differ."""
        came, went = self.convolutions[0].came, self.convolutions[-1].went
        return None if (came, self.stride) == (went, 1) else Convolution(came=came, went=went, side=1)

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each convolution."""
        first = next(k for k, convolution in enumerate(self.convolutions) if convolution.side > 1)
        return tuple(self.stride if k == first else 1 for k in range(len(self.convolutions)))


@final
@dataclass(frozen=True, kw_only=True)
class ResNet:
    """He et al. 2016, of any depth and width, basic or with bottlenecks; ResNeXts and wide ones are such too."""

    head: ClassVar[str] = "fc."

    stem: int  # channels of the first layer
    stages: tuple[tuple[ResidualBlock, ...], ...]

    @classmethod
    def of(cls, shapes: Shapes) -> Self | None:
        """The ResNet that has these names; None where it is none. Whether the shapes fit is another question."""
        if not {"conv1.weight", "layer1.0.conv1.weight"} <= shapes.keys():
            return None
        came = stem = _outputs(shapes, "conv1.weight")
        stages = []
        for stage in _STAGES:
            blocks: list[ResidualBlock] = []
            while not blocks or f"layer{stage}.{len(blocks)}.conv1.weight" in shapes:
                stride = 2 if stage > 1 and not blocks else 1
                blocks.append(_residual_block(shapes, f"layer{stage}.{len(blocks)}", came, stride))
                came = blocks[-1].convolutions[-1].went
            stages.append(tuple(blocks))
        return cls(stem=stem, stages=tuple(stages))

    @property
    def channels(self) -> int:
        return self.stages[-1][-1].convolutions[-1].went

    @property
    def words(self) -> str:
        every = [convolution for stage in self.stages for block in stage for convolution in block.convolutions]
        name = "ResNeXt" if any(convolution.groups > 1 for convolution in every) else "ResNet"
        return f"{name}-{len(every) + 2} of {self.stem} to {self.channels} channels"  # the stem and the head count

    def shapes(self) -> Shapes:
        found = {"conv1.weight": (self.stem, 3, _STEM_SIDE, _STEM_SIDE), **_normalization("bn1", self.stem)}
        for stage, blocks in enumerate(self.stages, start=1):
            for number, block in enumerate(blocks):
                name = f"layer{stage}.{number}"
                for place, convolution in enumerate(block.convolutions, start=1):
                    found[f"{name}.conv{place}.weight"] = convolution.shape
                    found |= _normalization(f"{name}.bn{place}", convolution.went)
                if block.shortcut is not None:
                    found[f"{name}.downsample.0.weight"] = block.shortcut.shape
                    found |= _normalization(f"{name}.downsample.1", block.shortcut.went)
        return found


@final
@dataclass(frozen=True, kw_only=True)
class InvertedBlock:
    """Widened by a 1x1 convolution if at all, looked around channel by channel, narrowed again."""

    came: int
    wide: int
    went: int
    stride: int
    widens: bool

    @property
    def skips(self) -> bool:
        """Whether what came is added to what goes."""
        return (self.came, self.stride) == (self.went, 1)

    @property
    def normalized(self) -> tuple[tuple[str, Convolution, str], ...]:
        """Each convolution between its own name and that of its normalization, within the block."""
        around = Convolution(came=self.wide, went=self.wide, side=3, groups=self.wide)
        narrow = Convolution(came=self.wide, went=self.went, side=1)
        if not self.widens:
            return (("conv.0.0", around, "conv.0.1"), ("conv.1", narrow, "conv.2"))
        widen = Convolution(came=self.came, went=self.wide, side=1)
        return (
            ("conv.0.0", widen, "conv.0.1"),
            ("conv.1.0", around, "conv.1.1"),
            ("conv.2", narrow, "conv.3"),
        )


@final
@dataclass(frozen=True, kw_only=True)
class MobileNetV2:
    """Sandler et al. 2018, of any width."""

    head: ClassVar[str] = "classifier."

    stem: int  # channels of the first layer
    blocks: tuple[InvertedBlock, ...]
    last: int  # channels of the last layer

    @classmethod
    def of(cls, shapes: Shapes) -> Self | None:
        """The MobileNetV2 that has these names; None where it is none."""
        if not {"features.0.0.weight", "features.1.conv.0.0.weight", "features.17.conv.2.weight"} <= shapes.keys():
            return None
        came = stem = _outputs(shapes, "features.0.0.weight")
        blocks = []
        for number in range(1, _INVERTED_BLOCKS + 1):
            name = f"features.{number}.conv"
            widens = f"{name}.3.weight" in shapes
            block = InvertedBlock(
                came=came,
                wide=_outputs(shapes, f"{name}.0.0.weight"),
                went=_outputs(shapes, f"{name}.2.weight" if widens else f"{name}.1.weight"),
                stride=2 if number in _HALVING else 1,
                widens=widens,
            )
            blocks.append(block)
            came = block.went
        last = _outputs(shapes, f"features.{_INVERTED_BLOCKS + 1}.0.weight")
        return cls(stem=stem, blocks=tuple(blocks), last=last)

    @property
    def channels(self) -> int:
        return self.last

    @property
    def words(self) -> str:
        return f"MobileNetV2 of {self.stem} to {self.last} channels"

    def shapes(self) -> Shapes:
        end = f"features.{_INVERTED_BLOCKS + 1}"
        found: dict[str, Shape] = {
            "features.0.0.weight": (self.stem, 3, 3, 3),
            **_normalization("features.0.1", self.stem),
            f"{end}.0.weight": (self.last, self.blocks[-1].went, 1, 1),
            **_normalization(f"{end}.1", self.last),
        }
        for number, block in enumerate(self.blocks, start=1):
            for name, convolution, normalization in block.normalized:
                found[f"features.{number}.{name}.weight"] = convolution.shape
                found |= _normalization(f"features.{number}.{normalization}", convolution.went)
        return found


KNOWN: tuple[type[ResNet] | type[MobileNetV2], ...] = (ResNet, MobileNetV2)


def architecture_of(shapes: Shapes) -> ResNet | MobileNetV2 | None:
    """Whose names these are; None where no network is known that has them."""
    found = (kind.of(shapes) for kind in KNOWN)
    return next((architecture for architecture in found if architecture is not None), None)


def misfits(architecture: Architecture, shapes: Shapes) -> Iterator[str]:
    """What keeps these tensors from being that network's, a clause for each kind of it."""
    due = architecture.shapes()
    missing = [name for name in due if name not in shapes]
    if missing:
        yield f"{_some(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    unknown = [name for name in shapes if name not in due and not _left_behind(name, architecture)]
    if unknown:
        yield f"it has no {_some(unknown)}"
    for name in itertools.islice((n for n in due if n in shapes and shapes[n] != due[n]), 1):
        yield f"{name} is {_sides(shapes[name])}, and {_sides(due[name])} fits"


def _left_behind(name: str, architecture: Architecture) -> bool:
    return name.startswith(architecture.head) or name.endswith(".num_batches_tracked")


def _residual_block(shapes: Shapes, name: str, came: int, stride: int) -> ResidualBlock:
    """As the names and widths have it: two convolutions of 3x3, or one of them between two of 1x1."""
    sides = (1, 3, 1) if f"{name}.conv3.weight" in shapes else (3, 3)
    convolutions = []
    for place, side in enumerate(sides, start=1):
        weights = f"{name}.conv{place}.weight"
        inputs = shapes.get(weights, ())[1:2]  # of each group
        grouped = len(sides) > 2 and side > 1 and bool(inputs) and inputs[0] > 0 and came % inputs[0] == 0
        groups = came // inputs[0] if grouped else 1
        convolutions.append(Convolution(came=came, went=_outputs(shapes, weights), side=side, groups=groups))
        came = convolutions[-1].went
    return ResidualBlock(convolutions=tuple(convolutions), stride=stride)


def _outputs(shapes: Shapes, name: str) -> int:
    """Channels that come out of a layer; 1 where it has no such weights, which `misfits` then tells."""
    shape = shapes.get(name, ())
    return max(shape[0], 1) if shape else 1


def _normalization(name: str, channels: int) -> dict[str, Shape]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def _some(names: list[str]) -> str:
    """`a`, `a and 3 more`."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"


def _sides(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a single number"
