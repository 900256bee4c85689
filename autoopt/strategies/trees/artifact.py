"""Tree models as an artifact: arrays in a safetensors file, and two ONNX encodings that give the same scores."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Final, Literal, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file

from autoopt.files import write_json, write_text
from autoopt.strategies.model import FEATURES, IR_VERSION, OPSET, SCORES, Artifact
from autoopt.strategies.trees.arrays import Floats, TreeArrays
from autoopt.strategies.trees.compact import compact
from autoopt.strategies.trees.nodes import ML_DOMAIN, Encoded
from autoopt.strategies.trees.portable import portable
from autoopt.task.graph.preprocessing import PRODUCER

Link = Literal["identity", "sigmoid", "softmax"]
"""What makes scores of the trees' sums: nothing (values, or probabilities already), or a link function."""

_ARRAYS: Final = "trees.safetensors"
_REST: Final = "trees.json"
_TEXT: Final = "model.txt"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TreesArtifact(Artifact):
    """Trees, how their leaves are aggregated, and what makes scores of that.

    Two classes have one output, for the second class: its margin (link 'sigmoid') or its probability ('identity').
    """

    kind: ClassVar[str] = "trees"

    arrays: TreeArrays
    features: int  # columns of FEATURES
    columns: int  # columns of SCORES: 1 for values, else one for each class
    average: bool  # mean over the trees; else their sum
    link: Link
    base: Floats  # (outputs,): added to sum or mean
    text: str = field(default="", repr=False)  # LightGBM's own text, for going on with the training
    text_notes: str = ""  # what that text leaves out

    @property
    def outputs(self) -> int:
        """Outputs of the trees before the link."""
        return len(self.base)

    def save(self, folder: Path) -> None:
        """Write trees.safetensors, trees.json and, for LightGBM, model.txt."""
        tensors = {f.name: np.ascontiguousarray(getattr(self.arrays, f.name)) for f in fields(TreeArrays)}
        save_file({**tensors, "base": self.base}, folder / _ARRAYS)
        rest = {"format": 1, "features": self.features, "columns": self.columns, "average": self.average}
        write_json(folder / _REST, {**rest, "link": self.link, "text_notes": self.text_notes})
        if self.text:
            write_text(folder / _TEXT, self.text)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        tensors = load_file(folder / _ARRAYS)
        rest = json.loads((folder / _REST).read_text())
        text = folder / _TEXT
        return cls(
            arrays=TreeArrays(**{f.name: tensors[f.name] for f in fields(TreeArrays)}),
            base=tensors["base"],
            text=text.read_text() if text.is_file() else "",
            **{name: rest[name] for name in ("features", "columns", "average", "link", "text_notes")},
        )

    def graph(self) -> onnx.ModelProto:
        """The portable encoding: TreeEnsembleRegressor of `ai.onnx.ml` 3, in float32."""
        encoded = portable(self.arrays, outputs=self.outputs, average=self.average)
        return self.model_of(encoded)

    def compact_graph(self) -> onnx.ModelProto:
        """The smallest encoding that gives the same scores: TreeEnsemble of `ai.onnx.ml` 5, or `graph()` if smaller.

        Equal to `graph()` bit for bit with one output a tree; with a row of outputs in each leaf (forests of three
        classes and more) up to the order of a float32 sum.
        """
        small = self.model_of(compact(self.arrays, outputs=self.outputs, average=self.average))
        large = self.graph()
        return small if small.ByteSize() <= large.ByteSize() else large

    def scores(self, numbers: NDArray[np.float32]) -> Floats:
        """(rows, columns) in float64 by plain numpy: slow, and what the graphs are held to."""
        leaves = self.arrays.route(numbers)
        raw = np.zeros((len(numbers), self.outputs))
        for tree in range(self.arrays.trees):
            values = self.arrays.leaf_values[leaves[:, tree]]
            if values.shape[1] == 1:
                raw[:, self.arrays.tree_output[tree]] += values[:, 0]
            else:
                raw += values
        raw = (raw / self.arrays.trees if self.average else raw) + self.base
        with np.errstate(over="ignore"):
            return self.linked(raw)

    def linked(self, raw: Floats) -> Floats:
        """Scores (rows, columns) of sums or means over the trees (rows, outputs), the base added."""
        if self.columns == 2 and self.link == "sigmoid":
            margins = np.concatenate([raw, -raw], axis=1)
            return np.asarray(1 / (1 + np.exp(margins)))
        if self.columns == 2 and self.outputs == 1:
            return np.concatenate([1 - raw, raw], axis=1)
        if self.link == "softmax":
            shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
        return raw

    def model_of(self, encoded: Encoded) -> onnx.ModelProto:
        """An encoding of these trees as a model: base and link behind it."""
        nodes, constants = list(encoded.nodes), list(encoded.constants)
        for op, arrays in self._tail():
            names = [f"{op.lower()}_{i}" for i in range(len(arrays))]
            constants.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
            nodes.append(helper.make_node(op, [nodes[-1].output[0], *names], [f"{op.lower()}_out"]))
        nodes[-1].output[0] = SCORES
        graph = helper.make_graph(
            nodes,
            "trees",
            [helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, ["rows", self.features])],
            [helper.make_tensor_value_info(SCORES, onnx.TensorProto.FLOAT, ["rows", self.columns])],
            constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, encoded.ml_opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
        onnx.checker.check_model(model)
        return model

    def _tail(self) -> list[tuple[str, tuple[NDArray[np.float32], ...]]]:
        """(operator, its constants) from RAW to SCORES."""
        tail: list[tuple[str, tuple[NDArray[np.float32], ...]]] = []
        if self.columns == 2 and self.outputs == 1:  # -margin and margin, or 1 - p and p: exact however near to 0
            first = -self.base if self.link == "sigmoid" else 1 - self.base
            both = np.concatenate([first, self.base]).astype(np.float32)
            tail.append(("Gemm", (np.array([[-1, 1]], dtype=np.float32), both)))
        elif self.base.any():
            tail.append(("Add", (self.base.astype(np.float32),)))
        if self.link != "identity":
            tail.append(("Sigmoid" if self.link == "sigmoid" else "Softmax", ()))
        return tail
