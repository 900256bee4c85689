"""What is kept of a training on its way, so that a crash costs seconds and not the training."""

import contextlib
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any, Final, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from autoopt.files.atomic import write_bytes, write_json
from autoopt.strategies.learning.training import Captured, Training

MANIFEST: Final = "checkpoint.json"
FORMAT: Final = 1
EXPENSIVE_S: Final = 0.5
"""A checkpoint that takes longer is made less often, by as much: of ten seconds this is a twentieth."""
_UNFIT = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError, SafetensorError)


@final
class Checkpoints:
    """The newest checkpoint of one training, in a folder of its own: tensors as safetensors, the rest as JSON.

    The JSON names the tensors' file and its digest and is written last: what it names is whole.
    """

    def __init__(self, folder: Path | None, training: Training, rows: int) -> None:
        self._folder = folder
        self._training = training
        self._about = identity(training, rows)
        self._next = time.monotonic() + training.plan.checkpoint_every_s

    def resume(self) -> bool:
        """Put the training where the checkpoint left it; False, and no trace of it, where there is none that fits."""
        if self._folder is None or not self._folder.exists():
            return False
        before = self._training.capture()
        try:
            self._training.restore(self._read(self._folder))
        except _UNFIT:
            self._training.restore(before)
            self.forget()
            return False
        return True

    def offer(self, seconds: float) -> None:
        """Keep the training as it is, if the last time is long enough ago. `seconds`: spent on it in this process."""
        began = time.monotonic()
        if self._folder is None or began < self._next:
            return
        self.keep(seconds)
        ended = time.monotonic()
        self._next = ended + self._training.plan.checkpoint_every_s * max(1.0, (ended - began) / EXPENSIVE_S)

    def keep(self, seconds: float) -> None:
        """Write it now; a disk that is full costs the checkpoint and not the training."""
        if self._folder is None:
            return
        captured = self._training.capture()
        content = bytes_of(dict(captured.tensors))
        digest = hashlib.sha256(content).hexdigest()
        name = f"{digest[:16]}.safetensors"
        values = {**captured.values, "seconds": self._training.seconds + seconds}
        with contextlib.suppress(OSError):
            write_bytes(self._folder / name, content)
            write_json(
                self._folder / MANIFEST,
                {"format": FORMAT, "about": self._about, "file": name, "sha256": digest, "values": values},
            )
            for old in self._folder.iterdir():
                if old.name not in (name, MANIFEST):
                    old.unlink()

    def forget(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, folder: Path) -> Captured:
        """Raises one of _UNFIT for what is damaged or of another training."""
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["format"] != FORMAT or manifest["about"] != self._about:
            raise ValueError("the checkpoint of another training")
        name = str(manifest["file"])
        if Path(name).name != name:
            raise ValueError("a file outside its folder")
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise ValueError("hash differs")
        return Captured(tensors=tensors_of(content), values=manifest["values"])


def identity(training: Training, rows: int) -> dict[str, Any]:
    """What two trainings must have in common for one to go on from the other's checkpoint, as JSON."""
    shapes = {name: [str(value.dtype), list(value.shape)] for name, value in training.network.state_dict().items()}
    return {
        "plan": repr(training.plan),
        "shapes": shapes,
        "rows": rows,
        "device": training.device.type,
        "torch": torch.__version__,
    }
