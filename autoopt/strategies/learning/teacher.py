"""A network that another one learns from: what it says of each batch counts beside the target."""

import copy
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from autoopt.strategies.learning.loss import LossFunction


@final
@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Knowledge distillation batch by batch (Hinton, Vinyals & Dean 2015), the teacher seeing the student's very rows.

    `share` 0 to 1 of the loss is the distance to the teacher's outputs, the rest that to the target. Of classes the
    distance is the divergence KL(teacher ‖ student), without a temperature; of values it is `of_values`.
    """

    network: nn.Module
    share: float
    of_values: LossFunction | None = None  # None: outputs are logits (rows, classes)

    @classmethod
    def of(cls, network: nn.Module, share: float, of_values: LossFunction | None = None) -> Self:
        """One that teaches what `network` knows now: a copy in evaluation mode, that no training changes."""
        frozen = copy.deepcopy(network).eval().requires_grad_(False)
        return cls(network=frozen, share=share, of_values=of_values)

    def answers(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Its outputs (rows, classes) or (rows, 1) for these rows."""
        with torch.no_grad():
            outputs: Tensor = self.network(*inputs)
        return outputs

    def mixed(self, loss: Tensor, outputs: Tensor, answers: Tensor) -> Tensor:
        """The student's loss: of its outputs, `loss` is that against the target; a scalar."""
        return (1 - self.share) * loss + self.share * self._distance(outputs, answers)

    def _distance(self, outputs: Tensor, answers: Tensor) -> Tensor:
        if self.of_values is not None:
            return self.of_values(outputs, answers)
        return kl_div(outputs.log_softmax(1), answers.log_softmax(1), reduction="batchmean", log_target=True)
