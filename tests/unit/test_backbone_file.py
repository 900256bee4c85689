"""Files of pre-trained weights: what is recognised, and what is said of those that are not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support_backbone import SMALL, mobilenet, parameters, resnet, tensors_of, write_weights

from autoopt.errors import OptionError
from autoopt.task.images.architectures import MobileNetV2, ResNet, architecture_of
from autoopt.task.images.backbone import backbone_architecture, read_backbone

FULL = {  # weights without the last layer, as published for torchvision's models
    "ResNet-18 of 64 to 512 channels": (resnet(2, 2, 2, 2, width=64), 11_689_512 - 513_000),
    "ResNet-34 of 64 to 512 channels": (resnet(3, 4, 6, 3, width=64), 21_797_672 - 513_000),
    "ResNet-50 of 64 to 2048 channels": (resnet(3, 4, 6, 3, width=64, bottleneck=True), 25_557_032 - 2_049_000),
    "MobileNetV2 of 32 to 1280 channels": (mobilenet(), 3_504_872 - 1_281_000),
}


@pytest.mark.parametrize("words", FULL)
def test_networks_of_the_papers_have_their_names_and_as_many_weights(words: str) -> None:
    architecture, weights = FULL[words]
    assert architecture_of(architecture.shapes()) == architecture
    assert architecture.words == words
    assert parameters(architecture) == weights


def test_names_are_those_of_torchvision() -> None:
    names = {**resnet(width=64, bottleneck=True).shapes(), **mobilenet().shapes()}
    for name, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer4.0.bn3.running_var": (2048,),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.2.conv.0.0.weight": (96, 16, 1, 1),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.18.1.running_mean": (1280,),
    }.items():
        assert names[name] == shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_a_file_is_recognised_in_every_number_format(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "weights.safetensors", name, dtype=dtype)
    found = read_backbone(str(path))
    assert (found.name, len(found.sha256)) == ("weights.safetensors", 64)
    assert found.architecture == SMALL[name].words
    assert backbone_architecture(path) == SMALL[name]


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    kinds = {name: type(architecture_of(a.shapes())) for name, a in SMALL.items()}
    assert kinds == {"resnet": ResNet, "bottleneck": ResNet, "resnext": ResNet, "mobilenet": MobileNetV2}
    assert SMALL["resnext"].words == "ResNeXt-14 of 8 to 256 channels"


def changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """A file whose tensors were changed."""

    def make(path: Path) -> None:
        tensors = tensors_of(SMALL["resnet"])
        change(tensors)
        save_file(tensors, path)

    return make


def cut(path: Path) -> None:
    write_weights(path)
    path.write_bytes(path.read_bytes()[:1000])


def header_of_nonsense(path: Path) -> None:
    path.write_bytes((20).to_bytes(8, "little") + json.dumps({"a": "b"}).ljust(20).encode())


BAD: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "missing": ("w.safetensors", lambda path: None, ("there is no such file",)),
    "folder": ("w.safetensors", lambda path: path.mkdir(), ("cannot be read",)),
    "empty": ("w.safetensors", lambda path: path.write_bytes(b""), ("no safetensors file",)),
    "text": ("w.safetensors", lambda path: path.write_text("weights" * 50), ("no safetensors file", "damaged")),
    "cut": ("w.safetensors", cut, ("no safetensors file", "damaged")),
    "nonsense": ("w.safetensors", header_of_nonsense, ("no safetensors file", "damaged")),
    "zipped pickle": (
        "w.safetensors",
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)),
        ("is a pickle", "Convert it once", "weights_only=True"),
    ),
    "old pickle": ("resnet18.pth", lambda path: path.write_bytes(b"\x80\x02}q\x00."), ("is a pickle", "'resnet18.")),
    "other names": (
        "w.safetensors",
        changed(lambda tensors: [tensors.clear(), tensors.update({"blocks.0.weight": torch.ones(3)})]),
        ("no network that is known", "'blocks.0.weight'", "ResNets by the names", "MobileNetV2"),
    ),
    "no tensors": ("w.safetensors", changed(lambda tensors: tensors.clear()), ("Its tensors: none",)),
    "one missing": (
        "w.safetensors",
        changed(lambda tensors: tensors.pop("layer3.0.bn2.bias")),
        ("looks like a ResNet-10", "layer3.0.bn2.bias is missing"),
    ),
    "a stage missing": (
        "w.safetensors",
        changed(lambda tensors: [tensors.pop(n) for n in list(tensors) if n.startswith("layer4")]),
        ("layer4.0.conv1.weight and", "more are missing"),
    ),
    "more": (
        "w.safetensors",
        changed(lambda tensors: tensors.update({"layer1.0.se.fc1.weight": torch.ones(3)})),
        ("it has no layer1.0.se.fc1.weight",),
    ),
    "another stem": (
        "w.safetensors",
        changed(lambda tensors: tensors.update({"conv1.weight": torch.ones(8, 3, 3, 3)})),
        ("conv1.weight is 8 × 3 × 3 × 3, and 8 × 3 × 7 × 7 fits",),
    ),
    "no shape": (
        "w.safetensors",
        changed(lambda tensors: tensors.update({"layer2.0.conv1.weight": torch.tensor(1.0)})),
        ("layer2.0.conv1.weight is a single number",),
    ),
    "whole numbers": (
        "w.safetensors",
        changed(lambda tensors: tensors.update({n: t.to(torch.int8) for n, t in tensors.items()})),
        ("its numbers are I8", "BF16"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    name, make, says = BAD[case]
    make(tmp_path / name)
    with pytest.raises(OptionError) as caught:
        read_backbone(tmp_path / name)
    for part in ("--backbone", *says):
        assert part in str(caught.value)


def test_a_safetensors_file_may_have_any_ending(tmp_path: Path) -> None:
    assert read_backbone(write_weights(tmp_path / "weights.bin")).architecture == SMALL["resnet"].words
