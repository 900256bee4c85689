"""A network that torch cannot trace: its weights, and how to build what they fit into from the user's file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save

from autoopt.errors import StageFailure
from autoopt.files import write_bytes
from autoopt.runtime.predictor import WEIGHTS_FILE
from autoopt.strategies.model import Artifact
from autoopt.values import FailureReason

FILE: Final = WEIGHTS_FILE
_META: Final = "autoopt"
_HEAD_BYTES: Final = 8


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class UntracedArtifact(Artifact):
    """Weights in a safetensors file, whose metadata say what `build` was called with. There is no graph."""

    kind: ClassVar[str] = "untraced"

    weights: Mapping[str, NDArray[Any]]
    build: Mapping[str, Any]  # what the user's `build` was called with
    reason: str  # why there is no graph, as the tracer told it

    def save(self, folder: Path) -> None:
        write_bytes(folder / FILE, self.content())

    @classmethod
    def load(cls, folder: Path) -> Self:
        with safe_open(folder / FILE, framework="numpy") as file:
            meta = json.loads(file.metadata()[_META])
        return cls(weights=load_file(folder / FILE), build=meta["build"], reason=meta["reason"])

    def content(self) -> bytes:
        """The bytes of the file: the same ones each time."""
        weights = {name: np.ascontiguousarray(self.weights[name]) for name in sorted(self.weights)}
        meta = json.dumps({"build": dict(self.build), "reason": self.reason}, sort_keys=True)
        content: bytes = save(weights, metadata={_META: meta})
        return content

    def graph(self) -> onnx.ModelProto:
        raise StageFailure(FailureReason.ERROR, self.reason)


def is_untraced(content: bytes) -> bool:
    """Whether a deployed file is such weights and not an ONNX graph: a JSON header behind its length."""
    length = int.from_bytes(content[:_HEAD_BYTES], "little")
    return _HEAD_BYTES < length < len(content) and content[_HEAD_BYTES : _HEAD_BYTES + 1] == b"{"
