"""Whether a trained network gets used to int8 before it is deployed in it."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real, whole
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

STATIC_INT8 = "static_int8"


@final
@dataclass(frozen=True, kw_only=True)
class Qat(Strategy):
    """Quantization-aware training: a trained network learns a little longer while it computes as in static_int8.

    Weights and what goes between layers are rounded in each forward pass just as the deployed graph will round them;
    gradients pass as if nothing was (Bengio et al. 2013, "straight-through"; Jacob et al. 2018). What is kept are the
    float weights behind the rounded ones: graph and calibration are those of any network. The epoch that is best in
    int8 on valid is kept, and the weights stay as they came where none beats them. After pruning, if that is asked for.

    When it helps: where static_int8 loses too much, as units with far larger values than others make it; it costs no
    speed and no bytes. Digits with such a unit: accuracy 0.965 in float, 0.945 in int8, 0.952 after two epochs. Where
    int8 loses little it is one more short fine-tuning (depthwise_net on CIFAR-10: 0.473, 0.472 and 0.480). An epoch
    takes about twice one of training. What a fused attention of torch's own (nn.MultiheadAttention) computes stays
    float while it learns. epochs 1 to 8; rate_share 0.001 to 1 times the training's learning rate.
    """

    name: ClassVar[str] = "qat"
    stage: ClassVar[Stage] = "shrink"
    topic: ClassVar[Topic] = Topic.DEPLOYING
    when: ClassVar = {"model": NETWORKS, "quantize": (STATIC_INT8,)}
    field_when: ClassVar = {name: {"qat": (True,)} for name in ("epochs", "rate_share")}

    on: bool = choice(False, True, main=True, help="fine-tune as if in int8 before static_int8 is applied")
    epochs: int = whole(2, low=1, high=8, log=True, help="passes over the training rows in int8, at most")
    rate_share: float = real(0.1, low=0.001, high=1.0, log=True, help="learning rate, times that of the training")

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """Off in a recipe that deploys another form: its float model is the one without this."""
        return super().from_recipe(recipe) if recipe.get("quantize") == STATIC_INT8 else cls()

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        if value and own is not None and own.untraceable:
            return f"torch.export cannot trace the module: {own.untraceable}"
        return None
