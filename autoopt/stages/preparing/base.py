"""What preparing promises for every kind of data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import onnx

from autoopt.space.recipe import Recipe
from autoopt.strategies.model import Prepared
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Part, PartName
from autoopt.task.texts.word_vectors import WordVectors


@dataclass(frozen=True, kw_only=True)
class PrepareJob:
    """What there is to prepare, and how."""

    facts: TaskFacts
    train: Part
    valid: Part
    recipe: Recipe
    seed: int
    vectors: WordVectors | None = None  # of words of texts, where the user gave a file of them


@dataclass(frozen=True, kw_only=True)
class LoadJob:
    """What was prepared: the entry's folder, and one part of the snapshot it was made from."""

    folder: Path
    facts: TaskFacts
    part_name: PartName
    part: Part
    recipe: Recipe


class Preparer(ABC):
    """Prepares one modality. What it keeps of the data is fitted on the train part alone."""

    @abstractmethod
    def prepare(self, job: PrepareJob, folder: Path) -> None:
        """Fit, and write everything into `folder`. Raises StageFailure."""

    @abstractmethod
    def graph(self, folder: Path) -> onnx.ModelProto | None:
        """From raw inputs to the model's inputs (FEATURES, CODES); None where the model's graph takes raw inputs."""

    @abstractmethod
    def load(self, job: LoadJob) -> Prepared:
        """One part as the models of this modality learn from it."""
