"""What a network is asked to make small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import Tensor

LossFunction = Callable[["Tensor", "Tensor"], "Tensor"]
"""(outputs, target) → the mean over rows, a scalar."""

OF_CLASSES = ("cross_entropy", "focal")
OF_VALUES = ("mse", "huber")
OF_LOGITS = ("cross_entropy", "bce_with_logits")
"""Losses of a user's own module that are cross-entropy, to which smoothing and focus may be added."""


def focal(outputs: "Tensor", target: "Tensor", *, gamma: float, label_smoothing: float) -> "Tensor":
    """Cross-entropy in which a class that is already given the probability p weighs (1 - p)^gamma.

    outputs: logits (rows, classes); target: int64 (rows,), or float32 shares (rows, classes).
    """
    import torch

    classes = outputs.shape[1]
    shares = target if target.is_floating_point() else torch.nn.functional.one_hot(target, classes).to(outputs.dtype)
    shares = shares * (1 - label_smoothing) + label_smoothing / classes
    logs = outputs.log_softmax(1)
    weighted: Tensor = -(shares * (1 - logs.exp()) ** gamma * logs).sum(1).mean()
    return weighted


@final
@dataclass(frozen=True, kw_only=True)
class Loss(Strategy):
    """The training loss. Left out, it is cross_entropy for classes and mse for values.

    * cross_entropy: for classes; mixed targets (mixup, cutmix) count by their shares.
    * focal: cross-entropy that looks away from what is already right (Lin et al. 2017); for rare classes.
    * mse: squared error, for values; large errors weigh most.
    * huber: squared up to `delta` and straight beyond (Huber 1964): outliers pull less.

    label_smoothing 0 to 0.3: the share of the target that is spread over all classes (Szegedy et al. 2016); helps
    against overconfidence. gamma 0 to 5: 0 is plain cross-entropy. delta 0.05 to 10 deviations of the target.
    """

    name: ClassVar[str] = "loss"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.LOSS
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "label_smoothing": {"loss": OF_CLASSES},
        "gamma": {"loss": ("focal",)},
        "delta": {"loss": ("huber",)},
    }

    kind: str = choice("cross_entropy", "focal", "mse", "huber", main=True, help="what training makes small")
    label_smoothing: float = real(0.0, low=0.0, high=0.3, help="share of the target spread over all classes")
    gamma: float = real(2.0, low=0.0, high=5.0, help="how much less a row counts that is already right")
    delta: float = real(1.0, low=0.05, high=10.0, log=True, help="error beyond which it grows in a line, in deviations")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        return "the task brings its own" if own and own.loss not in OF_LOGITS else None

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        if value in (OF_CLASSES if task.kind.classifies else OF_VALUES):
            return None
        return f"{value} is a loss of {'values' if task.kind.classifies else 'classes'}"

    def function(self, *, classifies: bool) -> LossFunction:
        """The loss of outputs (rows, classes) or (rows, 1) in float32."""
        from functools import partial

        from torch import nn

        if classifies and self.kind == "focal":
            return partial(focal, gamma=self.gamma, label_smoothing=self.label_smoothing)
        if classifies:
            cross_entropy: LossFunction = nn.CrossEntropyLoss(label_smoothing=self.label_smoothing)
            return cross_entropy
        of_values: LossFunction = nn.HuberLoss(delta=self.delta) if self.kind == "huber" else nn.MSELoss()
        return of_values
