"""Whether a network's training steps are compiled."""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn

_MODES = {"default": "default", "max_autotune": "max-autotune-no-cudagraphs"}
_COMPILERS = ("c++", "g++", "clang++", "cl")


def missing(device: str) -> str | None:
    """What torch.compile would need on such a device and is not there; None when all is."""
    if device == "cpu":
        named = os.environ.get("CXX", "")
        if any(shutil.which(name) for name in (named, *_COMPILERS) if name):
            return None
        return "torch.compile needs a C++ compiler on the CPU, and there is none"
    if device in ("cuda", "xpu") and importlib.util.find_spec("triton") is None:
        return f"torch.compile needs triton on {device}, and it is not installed"
    return None


@final
@dataclass(frozen=True, kw_only=True)
class Compile(Strategy):
    """torch.compile for the training steps: layers fused into code made for this network and machine.

    * none: as it comes.
    * default: some 10 to 60 seconds before the first step, counted in train_s; pays in long trainings of networks with
      many small operations, mostly on GPUs.
    * max_autotune: tries several kernels for each product; minutes before the first step.

    Scoring is not compiled. The results are the same up to rounding.
    """

    name: ClassVar[str] = "compile"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.ACCELERATOR
    when: ClassVar = {"model": NETWORKS}
    speed_only: ClassVar[bool] = True

    mode: str = choice("none", "default", "max_autotune", main=True, help="whether training steps are compiled")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        return None if value == "none" else missing(slot.device)

    @classmethod
    def candidates(cls, task: TaskFacts, slot: Slot) -> Mapping[str, tuple[Value, ...]]:
        """Without max_autotune: looking for its kernels takes longer than a probe may."""
        found = super().candidates(task, slot)
        return {name: tuple(value for value in values if value != "max_autotune") for name, values in found.items()}

    def forward(self, network: "nn.Module") -> Callable[..., Any]:
        """What training calls in the network's place: it shares its weights. Compiled at its first call."""
        import torch

        if self.mode != "none":
            # In this process: a pool of compiling workers would outlive a killed one, and take more than its share.
            torch._inductor.config.compile_threads = 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch's, about its own code
                network = torch.compile(network, mode=_MODES[self.mode])
        found: Callable[..., Any] = network
        return found
