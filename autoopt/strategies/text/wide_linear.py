"""Linear models of many features and few outputs as an artifact: the matrix is all there is, and int8 holds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
import onnx

from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.linear.artifact import LinearArtifact, emit_link
from autoopt.strategies.model import FEATURES, SCORES, Artifact

_LARGEST = 127


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WideLinearArtifact(Artifact):
    """A LinearArtifact without a centre. Two classes have one output here too, so that one column is stored."""

    kind: ClassVar[str] = "wide_linear"

    linear: LinearArtifact

    def save(self, folder: Path) -> None:
        self.linear.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(linear=LinearArtifact.load(folder))

    def graph(self) -> onnx.ModelProto:
        """The model in float32."""
        return self._graph(self.linear.coef.astype(np.float32), None)

    def int8_graph(self) -> onnx.ModelProto:
        """The same with coefficients in int8, a scale for each output; the runtime unpacks them once, when it loads."""
        largest = np.abs(self.linear.coef).max(axis=0)
        scale = np.where(largest > 0, largest / _LARGEST, 1.0)
        return self._graph(np.rint(self.linear.coef / scale).astype(np.int8), scale.astype(np.float32))

    def _graph(self, coef: np.ndarray, scale: np.ndarray | None) -> onnx.ModelProto:
        graph = GraphBuilder("wide_linear")
        value = graph.input(FEATURES, np.float32, ("rows", len(coef)))
        matrix = graph.constant(coef, name="coef")
        if scale is not None:
            matrix = graph.add("Cast", matrix, to=onnx.TensorProto.FLOAT)
        value = graph.add("MatMul", value, matrix)
        if scale is not None:
            value = graph.add("Mul", value, graph.constant(scale, name="scale"))
        value = graph.add("Add", value, graph.constant(self.linear.intercept, np.float32, name="intercept"))
        if self.linear.link == "sigmoid":
            value = graph.add("Concat", graph.add("Neg", value), value, axis=1)
        scores = emit_link(graph, value, self.linear.link)
        graph.output(SCORES, scores, np.float32, ("rows", self.linear.columns))
        return graph.build()
