"""A network that torch traced: its float graph, and the weights that retraining needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from autoopt.files import write_json
from autoopt.strategies.model import Artifact

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"
GRAPH_FILE = "network.onnx"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ExportedArtifact(Artifact):
    """`graph` takes FEATURES and CODES, or a module's own inputs, and gives SCORES; `weights` are the state dict's."""

    kind: ClassVar[str] = "exported"

    model: onnx.ModelProto
    weights: Mapping[str, NDArray[Any]]
    architecture: Mapping[str, Any]  # what `weights` fit into: the model's name and fields, widths after pruning

    def save(self, folder: Path) -> None:
        write_json(folder / ARCHITECTURE_FILE, dict(self.architecture))
        weights = {name: np.ascontiguousarray(self.weights[name]) for name in sorted(self.weights)}
        save_file(weights, folder / WEIGHTS_FILE)
        (folder / GRAPH_FILE).write_bytes(self.model.SerializeToString(deterministic=True))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(
            model=onnx.load(folder / GRAPH_FILE),
            weights=load_file(folder / WEIGHTS_FILE),
            architecture=json.loads((folder / ARCHITECTURE_FILE).read_text()),
        )

    def graph(self) -> onnx.ModelProto:
        return self.model
