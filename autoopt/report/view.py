"""What a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoopt.ledger import StudyRow, TrialRow
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.task.facts import TaskFacts
from autoopt.values import Limit, Objective


@dataclass(frozen=True, kw_only=True)
class FormLine:
    """A form of a model that came trained, as a line of the table that page and terminal show."""

    number: int
    form: str
    quality: str
    drop: str
    latency: str
    batch: str
    size: str
    verdict: str
    exported: bool


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """A study as the report sees it."""

    study: StudyRow
    facts: TaskFacts
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    trials: tuple[TrialRow, ...]
    front: tuple[TrialRow, ...]
    best: TrialRow | None  # the exported trial where there is one
    verified: VerifyResult | None
    test_looks: int
    chosen: str = ""  # "float" or "quantized"; '' when it is what the best trial's recipe deploys
    missed: str = ""  # limits that the chosen artifact breaks, in words
    forms: tuple[FormLine, ...] = ()  # of a model that came trained: each that was measured
    spared: str = ""  # of their usual ones, which were not tried and why, in a sentence
    environment: Mapping[str, Any] = field(default_factory=dict)  # where the export was measured
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by class some of its images, as data URIs

    @property
    def artifact(self) -> VerifiedArtifact | None:
        """The exported artifact that `predict` uses."""
        if self.verified is None or self.best is None:
            return None
        deployed = "float" if self.best.recipe.get("quantize", "none") == "none" else "quantized"
        wants_twin = (self.chosen or deployed) == "quantized"
        return self.verified.twin if wants_twin and self.verified.twin else self.verified.float_artifact
