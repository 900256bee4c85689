"""The user's own network, built by their code and trained by the one loop."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from autoopt.errors import StageFailure
from autoopt.files import derived_seed
from autoopt.space.catalogue import Declaration
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.model import Artifact, Prepared, Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.learner import Network, arrays
from autoopt.strategies.prepared import Arrays
from autoopt.task.facts import Modality, TaskFacts
from autoopt.task.module.choices import domain_of

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import Tensor, nn

    from autoopt.strategies.learning.loss import LossFunction
    from autoopt.strategies.learning.source import Source

BUILD = "build"
"""Before the names of the user's own dimensions in a recipe."""


@final
@dataclass(frozen=True, kw_only=True)
class OwnModule(Network):
    """A network of the user's own: what `build` of their ModuleTask gives, called with the recipe's `build.*`.

    Trained with the task's loss, judged by its metric on the whole valid set after each epoch; the best weights are
    kept. Items that are the same each time they are fetched are read once and held as arrays; others (random
    augmentation) are fetched anew in each epoch.

    epochs 1 to 1000 at most, fewer when the valid metric has not improved for `patience` epochs, 1 to 200.
    """

    name: ClassVar[str] = "module"
    any_size: ClassVar[bool] = True  # where the task's facts say so
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.MODULE,)
    input_names: ClassVar[tuple[str, ...]] = ()  # the task's: `facts.tensors`

    choices: tuple[tuple[str, Value], ...] = ()  # of `build`, declared by the task and not by this class

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        return dataclasses.replace(super().from_recipe(recipe), choices=tuple(recipe.section(BUILD).items()))

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from autoopt.strategies.networks.own_outputs import Uniform
        from autoopt.strategies.networks.own_task import own_code, own_task
        from autoopt.task.module.forward import built
        from autoopt.task.module.loading import split_reference

        facts = data.facts
        with own_code(facts):
            network = built(own_task(facts).build, dict(self.choices), split_reference(facts.module)[0].parent)
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

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        from autoopt.strategies.networks.own_task import own_code
        from autoopt.task.module.items import seed_everything

        seed_everything(context.seed)
        with own_code(data.facts):
            return super().train(data, context)

    def follow(self, data: TrainingData[Any], context: TrainingContext) -> None:
        from autoopt.strategies.networks.own_task import own_code
        from autoopt.task.module.items import seed_everything

        # Another seed: what the user's items draw at random must not be the same for the rows of each rank. The weights
        # that are drawn from it are replaced by the leader's.
        seed_everything(derived_seed(context.seed, context.ranks.number))
        with own_code(data.facts):
            super().follow(data, context)

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
        return UntracedArtifact(weights=own_names(arrays(network)), build=dict(self.choices), reason=reason)

    def graph_inputs(self, facts: TaskFacts) -> tuple[str, ...]:
        return tuple(t.name for t in facts.tensors)

    def architecture(self, facts: TaskFacts) -> Mapping[str, Any]:
        return {"model": self.name, "module": facts.module, BUILD: dict(self.choices)}


def own_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights by their names in the user's network."""
    return {name.removeprefix("network."): values for name, values in weights.items()}


def build_declarations(facts: TaskFacts) -> tuple[Declaration, ...]:
    """The user's own dimensions as fields of the catalogue."""
    choices = facts.module_facts.choices if facts.module_facts else {}
    return tuple(
        Declaration(
            name=f"{BUILD}.{name}",
            domain=domain_of(raw),
            default=raw["default"],
            strategy=BUILD,
            stage="train",
            when=(("model", (OwnModule.name,)),),
            summary="the task's own",
        )
        for name, raw in choices.items()
    )
