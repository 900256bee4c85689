"""A training's state in a folder of its own: tensors as safetensors, the rest as JSON, whole or not there at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from autoopt.files.atomic import write_bytes, write_json
from autoopt.strategies.learning.training import Captured

MANIFEST: Final = "checkpoint.json"
FORMAT: Final = 1
UNFIT: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    RuntimeError,
    SafetensorError,
)
"""What reading, or taking over, what is damaged or of another training may end with."""


def write_state(folder: Path, captured: Captured, about: Mapping[str, Any]) -> None:
    """Keep this in place of what the folder held. `about`, JSON, says whose state it is. Raises OSError.

    The JSON names the tensors' file and its digest and is written last: what it names is whole.
    """
    content = bytes_of(dict(captured.tensors))
    digest = hashlib.sha256(content).hexdigest()
    name = f"{digest[:16]}.safetensors"
    write_bytes(folder / name, content)
    values = dict(captured.values)
    write_json(folder / MANIFEST, {"format": FORMAT, "about": about, "file": name, "sha256": digest, "values": values})
    for old in folder.iterdir():
        if old.is_file() and old.name not in (name, MANIFEST):
            old.unlink()


def read_state(folder: Path, about: Mapping[str, Any]) -> Captured:
    """What `write_state` wrote for the same `about`. Raises one of UNFIT for what is damaged or another's."""
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest["format"] != FORMAT or manifest["about"] != about:
        raise ValueError("the checkpoint of another training")
    name = str(manifest["file"])
    if Path(name).name != name:
        raise ValueError("a file outside its folder")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise ValueError("hash differs")
    return Captured(tensors=tensors_of(content), values=manifest["values"])
