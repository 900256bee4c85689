"""A network that the user has trained already: nothing is trained, and forms of it are made."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.model import Artifact, Model, Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.own_network import OwnNetwork
from autoopt.task.facts import TaskFacts
from autoopt.task.module.choices import defaults
from autoopt.values import FailureReason

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class AsBuilt(OwnNetwork):
    """A network of the user's own with its trained weights: `autoopt compress task.py:function`.

    It is what `build` of their ModuleTask gives with the defaults of its choices, and is taken as it is: scored on the
    valid rows and exported, once, for all forms. Pruning and fine-tuning in int8 learn from the task's training rows
    with its loss, as after a training of ours.
    """

    name: ClassVar[str] = "as_built"
    comes_trained: ClassVar[bool] = True

    epochs: int = 1  # without a domain, as the next: no recipe decides them, since nothing is trained
    patience: int = 1

    def called_with(self, facts: TaskFacts) -> Mapping[str, Value]:
        return defaults(facts.module_facts.choices if facts.module_facts else {})

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        # A copy, as `build` may give the same object each time, and forms change theirs.
        network = copy.deepcopy(super().build(data))
        if not any(weights.requires_grad for weights in network.parameters()):  # kept for inference alone
            network.requires_grad_(True)
        return network

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        """Nothing is learned. Raises StageFailure when `build` gives other weights than when the study began."""
        from autoopt.strategies.learning.training_loop import settled
        from autoopt.strategies.networks.own_task import own_code
        from autoopt.task.module.trained import OTHER_WEIGHTS, weights_hash

        known = data.facts.module_facts
        with own_code(data.facts), settled(context.slot, context.seed) as device:
            network = self.build(data)
            if known is None or weights_hash(network.network) != known.weights:
                raise StageFailure(FailureReason.ERROR, OTHER_WEIGHTS)
            network = network.to(device)
            context.report(0, {})
            scores = self.judge(data, device).scores(network)
            artifact = self.artifact(network.cpu(), data)
        return Trained(artifact=artifact, valid_scores=scores)

    def follow(self, data: TrainingData[Any], context: TrainingContext) -> None:
        Model.follow(self, data, context)

    def untrained(self, data: TrainingData[Any], context: TrainingContext) -> Artifact | None:
        return None
