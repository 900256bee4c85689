"""From a network's outputs to scores: probabilities, or values in the target's own unit."""

from typing import final

from torch import Tensor, nn

from autoopt.strategies.learning.judge import Scores
from autoopt.task.facts import TaskFacts


@final
class Scored(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """A network and what follows it in the graph: softmax for classes, the target's unit for values."""

    def __init__(self, network: nn.Module, classifies: bool, shift: float, scale: float) -> None:
        super().__init__()
        self.network = network
        self.classifies = classifies
        self.shift = shift
        self.scale = scale

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(*inputs)
        return outputs.softmax(1) if self.classifies else outputs * self.scale + self.shift


def scores_of(facts: TaskFacts, shift: float, scale: float) -> Scores:
    """The same for a network that is still learning; computed in float32 whatever the network computes in."""

    def found(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        outputs = network(*inputs).float()
        scores: Tensor = outputs.softmax(1) if facts.kind.classifies else outputs * scale + shift
        return scores

    return found
