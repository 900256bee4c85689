"""A trained network as arrays, and the graph it becomes. No torch in here: a bundle is written without it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from autoopt.files import write_json
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import CODES, FEATURES, SCORES, Artifact

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"
NORMALIZATION_EPSILON = 1e-5

Weights = Mapping[str, NDArray[np.float32]]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a residual MLP: everything that its weights do not say."""

    inputs: int  # columns of FEATURES
    cardinalities: tuple[int, ...]  # of each column of CODES
    embedding_widths: tuple[int, ...]
    width: int
    depth: int  # residual blocks
    outputs: int  # classes, or 1 for a value
    classifies: bool
    normalization: str  # batch, layer, none
    activation: str  # relu, silu, gelu

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        lists = ("cardinalities", "embedding_widths")
        return cls(**{**raw, **{name: tuple(raw[name]) for name in lists}})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkArtifact(Artifact):
    """A residual MLP. `weights` are named as in `residual_mlp.ResidualMLP`, normalization not yet folded."""

    kind: ClassVar[str] = "network"

    architecture: Architecture
    weights: Weights

    def save(self, folder: Path) -> None:
        write_json(folder / ARCHITECTURE_FILE, asdict(self.architecture))
        weights = {name: np.ascontiguousarray(self.weights[name]) for name in sorted(self.weights)}
        save_file(weights, folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        architecture = Architecture.from_json(json.loads((folder / ARCHITECTURE_FILE).read_text()))
        return cls(architecture=architecture, weights=load_file(folder / WEIGHTS_FILE))

    def graph(self) -> onnx.ModelProto:
        """Gemm, activation and Add (and LayerNormalization); batch normalization is folded into the Gemm before it."""
        return network_graph(self.architecture, self.weights)


def folded(weights: Weights, linear: str, normalization: str) -> tuple[Array, Array]:
    """Weight (out, in) and bias (out,) of a linear layer, float64, the batch normalization after it folded in."""
    weight = weights[f"{linear}.weight"].astype(np.float64)
    bias = weights[f"{linear}.bias"].astype(np.float64)
    if not normalization:
        return weight, bias
    gain, shift, mean, variance = (
        weights[f"{normalization}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + NORMALIZATION_EPSILON)
    return weight * scale[:, None], (bias - mean) * scale + shift


def network_graph(architecture: Architecture, weights: Weights) -> onnx.ModelProto:
    """The network as a float graph, node by node: exact, and in milliseconds where an exporter needs seconds."""
    return _Writer(architecture, weights).write()


@final
class _Writer:
    """Writes one network."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        self._net = architecture
        self._weights = weights
        self._graph = GraphBuilder("mlp")

    def write(self) -> onnx.ModelProto:
        net, graph = self._net, self._graph
        hidden = self._normalized_linear(self._inputs(), "stem", "stem_norm")
        for index in range(net.depth):
            inner = self._normalized_linear(hidden, f"blocks.{index}.inner", f"blocks.{index}.norm")
            hidden = graph.add("Add", hidden, self._gemm(inner, *folded(self._weights, f"blocks.{index}.outer", "")))
        scores = self._head(hidden)
        graph.output(SCORES, scores, np.float32, ("rows", net.outputs))
        return graph.build()

    def _inputs(self) -> str:
        """FEATURES standardised, and the embeddings of CODES beside them: (rows, inputs + sum of widths)."""
        net, graph = self._net, self._graph
        numbers = graph.input(FEATURES, np.float32, ("rows", net.inputs))
        codes = graph.input(CODES, np.int64, ("rows", len(net.cardinalities))) if net.cardinalities else ""
        shift, scale = self._weights["shift"], self._weights["scale"]
        if np.any(shift != 0) or np.any(scale != 1):
            centred = graph.add("Sub", numbers, graph.constant(shift, name="shift"))
            numbers = graph.add("Div", centred, graph.constant(scale, name="scale"))
        if not codes:
            return numbers
        embedded = self._embeddings(codes)
        return graph.add("Concat", numbers, embedded, axis=1) if net.inputs else embedded

    def _embeddings(self, codes: str) -> str:
        """All tables as one flat array, so that one Gather serves every column: at batch 1 each node costs.

        Element j of a row is flat[base[j] + codes[column[j]]].
        """
        graph = self._graph
        tables = [self._weights[f"embeddings.{i}.weight"] for i in range(len(self._net.cardinalities))]
        column = np.concatenate([np.full(t.shape[1], i, np.int64) for i, t in enumerate(tables)])
        lengths = np.concatenate([np.full(t.shape[1], t.shape[0], np.int64) for t in tables])
        base = np.cumsum(lengths) - lengths
        flat = np.concatenate([t.T.ravel() for t in tables])
        spread = graph.add("Gather", codes, graph.constant(column, name="column"), axis=1)
        where = graph.add("Add", spread, graph.constant(base, name="base"))
        return graph.add("Gather", graph.constant(flat, name="embeddings"), where, axis=0)

    def _normalized_linear(self, value: str, linear: str, normalization: str) -> str:
        graph, kind = self._graph, self._net.normalization
        value = self._gemm(value, *folded(self._weights, linear, normalization if kind == "batch" else ""))
        if kind == "layer":
            gain = graph.constant(self._weights[f"{normalization}.weight"], name="gain")
            shift = graph.constant(self._weights[f"{normalization}.bias"], name="shift")
            value = graph.add("LayerNormalization", value, gain, shift, axis=-1, epsilon=NORMALIZATION_EPSILON)
        return self._activation(value)

    def _activation(self, value: str) -> str:
        graph, kind = self._graph, self._net.activation
        if kind == "relu":
            return graph.add("Relu", value)
        if kind == "silu":
            return graph.add("Mul", value, graph.add("Sigmoid", value))
        # Gelu is a node of its own only from opset 20 on; runtimes know these five for what they are.
        root = graph.constant(np.float32(np.sqrt(2)), name="root")
        one = graph.constant(np.float32(1), name="one")
        risen = graph.add("Add", graph.add("Erf", graph.add("Div", value, root)), one)
        return graph.add("Mul", graph.add("Mul", value, risen), graph.constant(np.float32(0.5), name="half"))

    def _head(self, hidden: str) -> str:
        weight, bias = folded(self._weights, "head", "")
        if self._net.classifies:
            return self._graph.add("Softmax", self._gemm(hidden, weight, bias), axis=-1)
        scale, shift = (float(self._weights[name][0]) for name in ("target_scale", "target_shift"))
        return self._gemm(hidden, weight * scale, bias * scale + shift)

    def _gemm(self, value: str, weight: Array, bias: Array) -> str:
        graph = self._graph
        matrix = graph.constant(np.ascontiguousarray(weight.T), np.float32, name="weight")
        return graph.add("Gemm", value, matrix, graph.constant(bias, np.float32, name="bias"))
