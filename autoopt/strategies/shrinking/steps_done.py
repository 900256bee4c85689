"""What is kept of a pruning on its way: the network after the last step that was fine-tuned to its end."""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from autoopt.errors import StageFailure
from autoopt.strategies.learning.kept_state import UNFIT, read_state, write_state
from autoopt.strategies.learning.training import Captured, random_states, set_random_states
from autoopt.values import FailureReason

_WEIGHTS, _RANDOM = "network/", "random/"


@final
class StepsDone:
    """Steps of one pruning, in a folder of its own; fine-tuning keeps its checkpoints below it.

    `about`, JSON, is what two prunings must have in common for one to go on from the other's steps. What a step removes
    hangs on its weights, but how much hangs on the step alone: who goes on does the steps again without fine-tuning,
    for the shapes, and then takes the weights.
    """

    def __init__(self, folder: Path | None, about: Mapping[str, Any], device: torch.device) -> None:
        self._folder = folder
        self._about = about
        self._device = device
        self._kept = self._read()
        values = self._kept.values if self._kept else {"step": 0, "epochs": 0, "seconds": 0.0}
        self.step = int(values["step"])  # the last one done; 0: none
        self.epochs = int(values["epochs"])  # of fine-tuning, after all of them
        self.seconds = float(values["seconds"])  # spent on them

    def checkpoints(self, step: int) -> Path | None:
        """Where fine-tuning after that step keeps its own."""
        return None if self._folder is None else self._folder / f"step{step}"

    def take_over(self, network: nn.Module) -> None:
        """Give `network`, pruned as far, the weights after the last step, and torch its random states then.

        Raises StageFailure (crashed) when they do not fit; they are removed, so that the next attempt begins anew.
        """
        if self._kept is None:
            return
        tensors = self._kept.tensors
        try:
            network.load_state_dict({n.removeprefix(_WEIGHTS): v for n, v in tensors.items() if n.startswith(_WEIGHTS)})
            states = {n.removeprefix(_RANDOM): v for n, v in tensors.items() if n.startswith(_RANDOM)}
            set_random_states(states, self._device)
        except UNFIT as error:
            self._forget()
            message = "what an earlier attempt at pruning had kept does not fit, and was removed"
            raise StageFailure(FailureReason.CRASHED, message) from error

    def keep(self, network: nn.Module, *, step: int, epochs: int, seconds: float) -> None:
        """Write the network after that step; a disk that is full costs this and not the pruning."""
        if self._folder is None:
            return
        weights = {_WEIGHTS + n: v.detach().to("cpu", copy=True).contiguous() for n, v in network.state_dict().items()}
        states = {_RANDOM + name: state for name, state in random_states(self._device).items()}
        values = {"step": step, "epochs": epochs, "seconds": seconds}
        with contextlib.suppress(OSError):
            write_state(self._folder, Captured(tensors={**weights, **states}, values=values), self._about)
            shutil.rmtree(self._folder / f"step{step}", ignore_errors=True)

    def _read(self) -> Captured | None:
        if self._folder is None or not self._folder.exists():
            return None
        try:
            found = read_state(self._folder, self._about)
            _ = int(found.values["step"]), int(found.values["epochs"]), float(found.values["seconds"])
        except FileNotFoundError:  # the first step was never done: its checkpoints may be there
            return None
        except UNFIT:
            self._forget()
            return None
        return found

    def _forget(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
