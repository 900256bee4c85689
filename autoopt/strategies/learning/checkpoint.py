"""What is kept of a training on its way, so that a crash costs seconds and not the training."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any, Final, final

import torch

from autoopt.strategies.learning.kept_state import UNFIT, read_state, write_state
from autoopt.strategies.learning.training import Captured, Training

EXPENSIVE_S: Final = 0.5
"""A checkpoint that takes longer is made less often, by as much: of ten seconds this is a twentieth."""


@final
class Checkpoints:
    """The newest checkpoint of one training, in a folder of its own."""

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
            self._training.restore(read_state(self._folder, self._about))
        except UNFIT:
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
        values = {**captured.values, "seconds": self._training.seconds + seconds}
        with contextlib.suppress(OSError):
            write_state(self._folder, Captured(tensors=captured.tensors, values=values), self._about)

    def forget(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


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
