"""A file of pre-trained weights: read as far as its header, and recognised. Nothing in it is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from autoopt.errors import OptionError
from autoopt.files import sha256_file, user_path
from autoopt.task.facts import BackboneFacts
from autoopt.task.images.architectures import Architecture, MobileNetV2, ResNet, architecture_of, misfits
from autoopt.task.wording import listed, quoted

NUMBERS: Final = ("F16", "BF16", "F32", "F64")
"""Number formats that weights may have; they are learned on in float32."""
_PICKLED: Final = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle")
_PICKLE_HEADS: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_UNDERSTOOD: Final = (
    "Understood are ResNets by the names of torchvision or timm (conv1, layer1.0.conv1, ...) "
    "and MobileNetV2 by torchvision's (features.0.0, ...)."
)


def read_backbone(file: str | Path) -> BackboneFacts:
    """What the file holds. Raises OptionError for one that no network here can begin with."""
    path = user_path(file)
    tensors = _tensors(path)
    shapes = {name: shape for name, (shape, _) in tensors.items()}
    architecture = architecture_of(shapes)
    if architecture is None:
        what = f"--backbone {quoted(path.name)} holds no network that is known here. Its tensors: {_listed(tensors)}."
        raise OptionError(what, _UNDERSTOOD)
    wrong = [*misfits(architecture, shapes), *_wrong_numbers(architecture, tensors)]
    if wrong:
        what = f"--backbone {quoted(path.name)} looks like a {architecture.words}, but {'; '.join(wrong)}."
        raise OptionError(what, _UNDERSTOOD)
    return BackboneFacts(name=path.name, sha256=sha256_file(path), architecture=architecture.words)


def backbone_architecture(path: Path) -> ResNet | MobileNetV2:
    """Of a file that `read_backbone` took. Raises OptionError where it is damaged."""
    found = architecture_of({name: shape for name, (shape, _) in _tensors(path).items()})
    if found is None:
        raise OptionError(f"{path} holds no network that is known here.")
    return found


def _tensors(path: Path) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Shape and number format of each tensor. Raises OptionError."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            return {name: (tuple(s.get_shape()), str(s.get_dtype())) for name, s in slices.items()}
    except FileNotFoundError:
        raise OptionError(f"--backbone {quoted(path)}: there is no such file.", "Give a .safetensors file.") from None
    except OSError as error:
        reason = error.strerror or "it is no file"
        raise OptionError(f"--backbone {quoted(path)} cannot be read: {reason}.", "Give a .safetensors file.") from None
    except SafetensorError as error:
        raise _no_safetensors(path, str(error)) from None


def _no_safetensors(path: Path, reason: str) -> OptionError:
    """A pickle runs code when it is read: it is refused, and where it can be trusted it is converted elsewhere."""
    with path.open("rb") as file:
        pickled = file.read(4).startswith(_PICKLE_HEADS)
    if not pickled and path.suffix.lower() not in _PICKLED:
        what = f"--backbone {quoted(path.name)} is no safetensors file, or a damaged one ({reason})."
        return OptionError(what, "Give the weights as a .safetensors file.")
    what = f"--backbone {quoted(path.name)} is a pickle, which could run any code when it is read."
    lines = "from safetensors.torch import save_file; from torch import load; "
    lines += f"save_file(load('{path.name}', weights_only=True), '{path.stem}.safetensors')"
    return OptionError(what, f'Convert it once: python -c "{lines}"')


def _wrong_numbers(architecture: Architecture, tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> list[str]:
    """Formats of the network's tensors that are none of weights."""
    formats = {tensors[name][1] for name in architecture.shapes() if name in tensors} - set(NUMBERS)
    return [f"its numbers are {' and '.join(sorted(formats))}, and {', '.join(NUMBERS)} can be used"] if formats else []


def _listed(tensors: Mapping[str, object]) -> str:
    return listed(tensors) if tensors else "none"
