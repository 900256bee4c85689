"""What a bundle is made of, and the names of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoopt.bundle.own_module import is_torch
from autoopt.ledger import StudyRow, TrialRow
from autoopt.runtime.predictor import WEIGHTS_FILE
from autoopt.stages.contract import AUGMENTED, VerifiedArtifact, VerifyResult
from autoopt.task.facts import TaskFacts

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
FRONT: Final = "front.json"
SAMPLE: Final = "sample.json"
WEIGHTS: Final = "weights"
GRAPHS: Final[Mapping[str, str]] = {"float": "model.onnx", "quantized": "model.quantized.onnx"}
"""File of each artifact, by its role."""


def file_of(artifact: VerifiedArtifact) -> str:
    """Its name in the bundle."""
    return WEIGHTS_FILE if is_torch(artifact) else GRAPHS[artifact.role]


def weights_of(verified: VerifyResult, role: str) -> dict[str, str]:
    """What an artifact was made of: path in the bundle → path in the store.

    A twin has files of its own where it was pruned or fine-tuned apart from the float artifact.
    """
    if role == "quantized" and verified.twin_weights:
        return {f"{WEIGHTS}/{role}.{Path(name).name}": path for name, path in verified.twin_weights.items()}
    return {f"{WEIGHTS}/{Path(name).name}": path for name, path in verified.weights.items() if name != AUGMENTED}


@dataclass(frozen=True, kw_only=True)
class BundleContents:
    """Everything that goes into a bundle."""

    study: StudyRow
    facts: TaskFacts
    trial: TrialRow
    pick: str
    verified: VerifyResult
    chosen: str  # "float" or "quantized": what `predict` uses
    missed: str  # limits that the chosen artifact breaks, in words; '' when all hold
    tolerance: float
    test_looks: int
    report_html: str
