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
        return as_scores(self.network(*inputs), self.classifies, self.shift, self.scale)


def as_scores(outputs: Tensor, classifies: bool, shift: float, scale: float) -> Tensor:
    """Logits (rows, classes) → probabilities; standardised values (rows, 1) → values in the target's unit."""
    return outputs.softmax(1) if classifies else outputs * scale + shift


def scores_of(facts: TaskFacts, shift: float, scale: float) -> Scores:
    """The same for a network that is still learning; computed in float32 whatever the network computes in."""

    def found(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return as_scores(network(*inputs).float(), facts.kind.classifies, shift, scale)

    return found
