"""An average of the weights over the course of training."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import Tensor, nn


@final
class Average:
    """The moving average of one network's weights and buffers; counters are taken as they are."""

    def __init__(self, network: "nn.Module", decay: float) -> None:
        self._decay = decay
        self.tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: "nn.Module", step: int) -> None:
        """Move towards the weights after step number `step`, counted from 1.

        Early steps weigh more: an average that began at random weights would drag them along.
        """
        import torch

        decay = min(self._decay, (1 + step) / (10 + step))
        current = {name: value.detach() for name, value in network.state_dict().items()}
        moving = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in moving], [current[n] for n in moving], 1 - decay)
        for name, value in current.items():
            if not value.is_floating_point():
                self.tensors[name].copy_(value)

    def load(self, tensors: "Mapping[str, Tensor]") -> None:
        """Go on from an average that was kept."""
        for name, value in self.tensors.items():
            value.copy_(tensors[name])

    @contextlib.contextmanager
    def applied(self, network: "nn.Module") -> "Iterator[None]":
        """Within it, `network` has the averaged weights."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.tensors)
        try:
            yield
        finally:
            network.load_state_dict(own)


@final
@dataclass(frozen=True, kw_only=True)
class Ema(Strategy):
    """An exponential moving average of the weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    The averaged weights are what is judged after each epoch and what is kept; the steps themselves do not see them.
    Statistics of batch normalization are averaged alike. Helps where the rate stays high or batches are small and
    noisy; adds little after a schedule that ends near zero. Costs one more copy of the weights.

    decay 0.9 to 0.9999 per step: about 1 / (1 - decay) steps are averaged; fewer at the start.
    """

    name: ClassVar[str] = "ema"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.LOSS
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {"decay": {"ema": (True,)}}

    on: bool = choice(False, True, main=True, help="judge and keep an average of the weights")
    decay: float = real(0.99, low=0.9, high=0.9999, help="share of the average that stays in each step")

    def average(self, network: "nn.Module") -> Average | None:
        """The average that begins at the network as it is; None when it is off."""
        return Average(network, self.decay) if self.on else None
