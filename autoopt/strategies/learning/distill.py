"""Whether a network also learns from what another one says."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real, whole
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

BEST: Final = "best"
TEACHER: Final = "distill.teacher"
"""Name of the field that the search fills in: which trial taught."""


@final
@dataclass(frozen=True, kw_only=True)
class Distill(Strategy):
    """Knowledge distillation (Hinton, Vinyals & Dean 2015): the target is mixed with a teacher's own answers.

    The teacher is the study's best feasible trial when this one starts; its deployed graph answers for every training
    row once, so that a step costs nothing more. Helps small networks most, which cannot fit hard labels but can follow
    how sure a large one is. Without a trial to learn from, the recipe is tried without it.

    * none: the target as the data have it.
    * best: mixed with the best trial's answers.

    weight 0.1 to 1: the share of the teacher's answer. temperature 1 to 10: above 1, what the teacher holds for second
    best counts more. teacher: number of the trial, filled in by the search, so that an exported recipe says who taught.
    """

    name: ClassVar[str] = "distill"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.DISTILLATION
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "weight": {"distill": (BEST,)},
        "temperature": {"distill": (BEST,)},
        "teacher": {"distill": (BEST,)},
    }

    source: str = choice("none", BEST, main=True, help="whose answers are learned beside the target")
    weight: float = real(0.5, low=0.1, high=1.0, help="share of the teacher's answer in the target")
    temperature: float = real(2.0, low=1.0, high=10.0, log=True, help="how much the teacher's second best counts")
    teacher: int = whole(0, low=0, high=1_000_000, help="number of the trial that taught; the search fills it in")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality is Modality.MODULE:
            return "the training rows stay in the user's own dataset, which a deployed graph cannot be asked about"
        return None

    def classes(self, target: NDArray[np.int64], answers: NDArray[Any]) -> NDArray[np.float32]:
        """Shares of classes (rows, classes) from classes (rows,) and the teacher's probabilities (rows, classes)."""
        softened = np.maximum(answers.astype(np.float64), 1e-12) ** (1.0 / self.temperature)
        softened /= softened.sum(axis=1, keepdims=True)
        hard = np.eye(answers.shape[1])[target]
        return ((1.0 - self.weight) * hard + self.weight * softened).astype(np.float32)

    def values(self, target: NDArray[np.float64], answers: NDArray[Any]) -> NDArray[np.float64]:
        """Values (rows,) between the target's and the teacher's answers (rows, 1)."""
        mixed: NDArray[np.float64] = (1.0 - self.weight) * target + self.weight * answers[:, 0].astype(np.float64)
        return mixed
