"""Linear models as an artifact: one matrix, and a graph of a matrix product and a link."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from autoopt.files import write_json
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import FEATURES, SCORES, Artifact

Floats = NDArray[np.float64]
Link = Literal["identity", "sigmoid", "softmax", "sigmoid_normalized"]
"""What makes scores of the outputs; the last: one sigmoid a class, divided by their sum."""

_ARRAYS: Final = "linear.safetensors"
_REST: Final = "linear.json"
_LEAST: Final = 1e-30  # added to each class's sigmoid: where all underflow to 0, the classes come out equal, not NaN


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LinearArtifact(Artifact):
    """`link((x - centre) @ coef + intercept)`. Two classes have one output, for the second class (link 'sigmoid')."""

    kind: ClassVar[str] = "linear"

    coef: Floats  # (features, outputs)
    intercept: Floats  # (outputs,)
    centre: NDArray[np.float32]  # (features,): taken off first, where a feature is far from zero; else 0
    link: Link

    @property
    def columns(self) -> int:
        """Columns of SCORES."""
        return 2 if self.link == "sigmoid" else len(self.intercept)

    def save(self, folder: Path) -> None:
        """Write linear.safetensors and linear.json."""
        tensors = {"coef": self.coef, "intercept": self.intercept, "centre": self.centre}
        save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, folder / _ARRAYS)
        write_json(folder / _REST, {"format": 1, "link": self.link})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        tensors = load_file(folder / _ARRAYS)
        link = json.loads((folder / _REST).read_text())["link"]
        return cls(coef=tensors["coef"], intercept=tensors["intercept"], centre=tensors["centre"], link=link)

    def graph(self) -> onnx.ModelProto:
        """The model in float32: a matrix product, and the link."""
        coef, intercept = self.coef, self.intercept
        if self.link == "sigmoid":  # sigmoid(-margin), sigmoid(margin): both columns exact, however near to 0
            coef, intercept = np.concatenate([-coef, coef], axis=1), np.concatenate([-intercept, intercept])
        graph = GraphBuilder("linear")
        value = graph.input(FEATURES, np.float32, ("rows", len(coef)))
        if self.centre.any():
            value = graph.add("Sub", value, graph.constant(self.centre, name="centre"))
        weights = (
            graph.constant(coef, np.float32, name="coef"),
            graph.constant(intercept, np.float32, name="intercept"),
        )
        value = graph.add("Gemm", value, *weights)
        graph.output(SCORES, emit_link(graph, value, self.link), np.float32, ("rows", self.columns))
        return graph.build()


def emit_link(graph: GraphBuilder, value: str, link: Link) -> str:
    """Scores of outputs, float32 (rows, columns) both; for 'sigmoid' the two columns are (-margin, margin)."""
    if link in ("sigmoid", "sigmoid_normalized"):
        value = graph.add("Sigmoid", value)
    if link == "sigmoid_normalized":
        value = graph.add("Add", value, graph.constant(_LEAST, np.float32, name="least"))
        axis = graph.constant([1], np.int64, name="class_axis")
        value = graph.add("Div", value, graph.add("ReduceSum", value, axis, keepdims=1))
    if link == "softmax":
        value = graph.add("Softmax", value, axis=-1)
    return value
