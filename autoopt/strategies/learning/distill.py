"""Whether a network also learns from what another one says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real, whole
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

BEST: Final = "best"
BEST_THREE: Final = "best_three"
TEACHERS: Final = ("distill.teacher", "distill.teacher_2", "distill.teacher_3")
"""Names of the fields that the search fills in: which trials taught, the best first."""
MOST_TEACHERS: Final = {BEST: 1, BEST_THREE: len(TEACHERS)}
BETWEEN: Final = "+"
_TAUGHT = (BEST, BEST_THREE)


def joined(keys: Iterable[str]) -> str:
    """One key for several teachers, given what each deployed; their order does not matter."""
    return BETWEEN.join(sorted(keys))


@final
@dataclass(frozen=True, kw_only=True)
class Distill(Strategy):
    """Knowledge distillation (Hinton, Vinyals & Dean 2015): the target is mixed with a teacher's own answers.

    Teachers are the study's best feasible trials when this one starts; their deployed graphs answer for every training
    row once, so that a step costs nothing more. Helps small networks most, which cannot fit hard labels but can follow
    how sure a large one is. Without a trial to learn from, the recipe is tried without it.

    * none: the target as the data have it.
    * best: mixed with the best trial's answers.
    * best_three: with the mean of three, the best trials that were trained apart; of fewer where there are no three.

    weight 0.1 to 1: the share of the teacher's answer. temperature 1 to 10: above 1, what the teacher holds for second
    best counts more. teacher, teacher_2, teacher_3: numbers of the trials, filled in by the search, so that an exported
    recipe says who taught.
    """

    name: ClassVar[str] = "distill"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.DISTILLATION
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "weight": {"distill": _TAUGHT},
        "temperature": {"distill": _TAUGHT},
        "teacher": {"distill": _TAUGHT},
        "teacher_2": {"distill": (BEST_THREE,)},
        "teacher_3": {"distill": (BEST_THREE,)},
    }

    source: str = choice("none", *_TAUGHT, main=True, help="whose answers are learned beside the target")
    weight: float = real(0.5, low=0.1, high=1.0, help="share of the teacher's answer in the target")
    temperature: float = real(2.0, low=1.0, high=10.0, log=True, help="how much the teacher's second best counts")
    teacher: int = whole(0, low=0, high=1_000_000, help="number of the trial that taught; the search fills it in")
    teacher_2: int = whole(0, low=0, high=1_000_000, help="of the second best, where three taught")
    teacher_3: int = whole(0, low=0, high=1_000_000, help="of the third best")

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
