"""The user's network and loss, in the shapes that everything else here goes by."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from autoopt.strategies.learning.loss import LossFunction
from autoopt.task.facts import ModuleFacts
from autoopt.task.module.forward import LOGIT, LOGITS, VALUES


@final
class Uniform(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Logits (rows, classes) or values (rows, 1), whatever the user's network gives: one logit may stand for two."""

    def __init__(self, network: nn.Module, output: str) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(*inputs)
        if self.output == LOGITS:
            return outputs
        column = outputs.unsqueeze(1) if outputs.ndim == 1 else outputs
        return column if self.output == VALUES else torch.cat([torch.zeros_like(column), column], 1)


def named_loss(name: str) -> LossFunction | None:
    """A loss of `task.module.LOSSES`; None for those that are the recipe's own for classes."""
    losses: dict[str, LossFunction] = {"mse": nn.MSELoss(), "mae": nn.L1Loss(), "huber": nn.HuberLoss()}
    return losses.get(name)


def own_loss(function: Callable[[Any, Any], Any], facts: ModuleFacts) -> LossFunction:
    """A user's function on outputs and targets in the shapes that their network and dataset give."""

    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        if facts.output == LOGITS:
            found: Tensor = function(outputs, target)
            return found
        column = outputs[:, 1:] if facts.output == LOGIT else outputs
        wanted = target if facts.output == LOGIT else target[:, 0]
        shaped = wanted if facts.flat_targets else wanted[:, None]
        mean: Tensor = function(column[:, 0] if facts.flat_outputs else column, shaped)
        return mean

    return loss
