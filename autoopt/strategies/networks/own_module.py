"""The user's own network, built by their code and trained by the one loop."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

from autoopt.files import derived_seed
from autoopt.space.catalogue import Declaration
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.model import Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.own_network import BUILD, OwnNetwork
from autoopt.task.facts import TaskFacts
from autoopt.task.module.choices import domain_of


@final
@dataclass(frozen=True, kw_only=True)
class OwnModule(OwnNetwork):
    """A network of the user's own: what `build` of their ModuleTask gives, called with the recipe's `build.*`.

    Trained with the task's loss, judged by its metric on the whole valid set after each epoch; the best weights are
    kept. Items that are the same each time they are fetched are read once and held as arrays; others (random
    augmentation) are fetched anew in each epoch.

    epochs 1 to 1000 at most, fewer when the valid metric has not improved for `patience` epochs, 1 to 200.
    """

    name: ClassVar[str] = "module"
    comes_trained: ClassVar[bool] = False

    choices: tuple[tuple[str, Value], ...] = ()  # of `build`, declared by the task and not by this class

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        return dataclasses.replace(super().from_recipe(recipe), choices=tuple(recipe.section(BUILD).items()))

    def called_with(self, facts: TaskFacts) -> Mapping[str, Value]:
        return dict(self.choices)

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


def build_declarations(facts: TaskFacts) -> tuple[Declaration, ...]:
    """The user's own dimensions as fields of the catalogue; none of what came trained, by its defaults."""
    choices = facts.module_facts.choices if facts.module_facts and not facts.came_trained else {}
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
