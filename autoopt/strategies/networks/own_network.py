"""What networks of the user's own have in common: built by their code, judged by their metric on their datasets."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from autoopt.errors import StageFailure
from autoopt.space.domains import Value
from autoopt.strategies.model import Artifact, Prepared, Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.learner import Network, arrays
from autoopt.strategies.prepared import Arrays
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import Tensor, nn

    from autoopt.strategies.learning.loss import LossFunction
    from autoopt.strategies.learning.source import Source

BUILD = "build"
"""Before the names of the user's own dimensions in a recipe."""


@dataclass(frozen=True, kw_only=True)
class OwnNetwork(Network):
    """What `build` of a ModuleTask gives. Subclasses say what it is called with, and whether it comes trained."""

    any_size: ClassVar[bool] = True  # where the task's facts say so
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.MODULE,)
    input_names: ClassVar[tuple[str, ...]] = ()  # the task's: `facts.tensors`
    comes_trained: ClassVar[bool]

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if (unfit := super().applies(task, slot)) is not None or task.came_trained == cls.comes_trained:
            return unfit
        return (
            "it takes a network that came trained, as autoopt compress does" if cls.comes_trained else "it came trained"
        )

    @abstractmethod
    def called_with(self, facts: TaskFacts) -> Mapping[str, Value]:
        """The arguments of the user's `build`, by name."""

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from autoopt.strategies.networks.own_outputs import Uniform
        from autoopt.strategies.networks.own_task import own_code, own_task
        from autoopt.task.module.forward import built
        from autoopt.task.module.loading import split_reference

        facts = data.facts
        with own_code(facts):
            network = built(
                own_task(facts).build, dict(self.called_with(facts)), split_reference(facts.module)[0].parent
            )
        return Uniform(network, facts.module_facts.output if facts.module_facts else "")

    def inputs(self, prepared: Prepared) -> "tuple[Tensor, ...]":
        import torch

        if not isinstance(prepared, Arrays):
            raise TypeError(f"a module takes Arrays, not {type(prepared).__name__}")
        return tuple(torch.from_numpy(values) for values in prepared.values)

    def source(self, data: TrainingData[Any], context: TrainingContext, device: "torch.device") -> "Source":
        from autoopt.strategies.learning.loader import Loader
        from autoopt.strategies.learning.pinned_memory import PinnedMemory
        from autoopt.strategies.networks.own_task import ItemRows, training_items

        if data.train.whole:
            return super().source(data, context, device)
        classifies = data.facts.kind.classifies
        with training_items(data.facts) as items:
            rows = ItemRows(items, classifies=classifies)
        pinned = PinnedMemory.from_recipe(context.recipe).pinned
        return Loader.from_recipe(context.recipe).source(rows, None, device, classifies=classifies, pinned=pinned)

    def target(self, data: TrainingData[Any]) -> "Tensor":
        import torch

        target = torch.from_numpy(data.train.target)
        return target.long() if data.facts.kind.classifies else target.float()[:, None]

    def loss(self, data: TrainingData[Any]) -> "LossFunction | None":
        from autoopt.strategies.networks.own_outputs import named_loss, own_loss
        from autoopt.strategies.networks.own_task import own_task

        loss = own_task(data.facts).loss
        if isinstance(loss, str) or data.facts.module_facts is None:
            return named_loss(str(loss))
        return own_loss(loss, data.facts.module_facts)

    def shrink(self, artifact: Artifact, data: TrainingData[Any], context: TrainingContext) -> Trained:
        from autoopt.strategies.networks.own_task import own_code
        from autoopt.task.module.items import seed_everything

        seed_everything(context.seed)
        with own_code(data.facts):
            return super().shrink(artifact, data, context)

    def artifact(self, network: "nn.Module", data: TrainingData[Any]) -> Artifact:
        from autoopt.strategies.networks.untraced import UntracedArtifact

        facts = data.facts.module_facts
        if facts is not None and facts.untraceable:  # found out at the start: it need not be found out again
            reason = f"torch.export cannot trace the module: {facts.untraceable}"
        else:
            try:
                return super().artifact(network, data)
            except StageFailure as error:  # trained and measured all the same, by torch itself
                reason = str(error)
        return UntracedArtifact(
            weights=own_names(arrays(network)), build=dict(self.called_with(data.facts)), reason=reason
        )

    def graph_inputs(self, facts: TaskFacts) -> tuple[str, ...]:
        return tuple(t.name for t in facts.tensors)

    def architecture(self, facts: TaskFacts) -> Mapping[str, Any]:
        return {"model": self.name, "module": facts.module, BUILD: dict(self.called_with(facts))}


def own_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights by their names in the user's network."""
    return {name.removeprefix("network."): values for name, values in weights.items()}
