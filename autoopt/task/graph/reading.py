"""The user's ONNX file: read, checked as a whole, understood. Nothing of it is run here."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import external_data_helper, helper

from autoopt.errors import DataError, Problem
from autoopt.task.graph.preprocessing import PRODUCER, model_nodes
from autoopt.task.wording import listed, quoted

LEAST_OPSET: Final = 13
MOST_BYTES: Final = 2_000_000_000
"""A protobuf message, which an ONNX file is, holds no more."""
PRODUCTS: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators that multiply with constant weights: what int8 makes smaller."""
LEAST_NUMBERS: Final = 8
"""Of a product; fewer turn a sign or pick a column behind trees, and no form makes them smaller."""
TREES: Final = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
_DTYPES: Final = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"}
)
_DEFAULT_DOMAINS: Final = ("", "ai.onnx")
_FLOATS: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """An input that rows are given to."""

    name: str
    dtype: str  # numpy's name of it
    shape: tuple[int | None, ...] | None  # of one row, None where any size goes; None: it is not said

    def __str__(self) -> str:
        sizes = "..." if self.shape is None else ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.name} {self.dtype} (rows{', ' if sizes else ''}{sizes})"


@dataclass(frozen=True, kw_only=True)
class BroughtGraph:
    """The file as it is to be run and compressed."""

    path: Path
    content: bytes  # of the file; weights that lay beside it are inside
    inlined: bool
    opset: int
    inputs: tuple[GraphInput, ...]  # none of a bundle's, whose front knows them
    scores: str  # the output that is judged: the first of floats, a row of them or one for each row
    weights: Mapping[str, int]  # constant numbers by operator
    nodes: Mapping[str, int]  # how many there are of each of PRODUCTS
    own_trees: bool = False  # its model is trees of one model, as autoopt writes them


def read_graph(path: Path) -> BroughtGraph:
    """Read and check an ONNX file. Raises DataError with all that is wrong with it."""
    model, content, inlined = _loaded(path)
    _check(model, path)
    problems: list[Problem] = []
    weights, opset = _weights(model), _opset(model)
    if opset < LEAST_OPSET and not any(op in weights for op in TREES):
        problems.append(_too_old(path, opset))
    inputs = _inputs(model.graph, problems)
    scores = _scores(model, problems)
    if problems:
        raise DataError(problems)
    return BroughtGraph(
        path=path,
        content=content,
        inlined=inlined,
        opset=opset,
        inputs=inputs,
        scores=scores,
        weights=weights,
        nodes=_nodes(model),
    )


def read_bundled(path: Path, content: bytes, scores: str) -> BroughtGraph:
    """The graph of a bundle, whose front knows its inputs. `path`: what it is called. Raises DataError."""
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        raise DataError(f"{path} is no ONNX file.", "Export the bundle again.") from None
    _check(model, path)
    return BroughtGraph(
        path=path,
        content=content,
        inlined=False,
        opset=_opset(model),
        inputs=(),
        scores=scores,
        weights=_weights(model),
        nodes=_nodes(model),
        own_trees=_begins_with_own_trees(model),
    )


def _begins_with_own_trees(model: onnx.ModelProto) -> bool:
    trees = [k for k, node in enumerate(model_nodes(model)) if node.op_type in TREES]
    return model.producer_name == PRODUCER and trees == [0]


def _check(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise DataError(f"{path} is no valid ONNX graph: {_first_line(error)}.", "Export it again.") from None


def _loaded(path: Path) -> tuple[onnx.ModelProto, bytes, bool]:
    """The model, its bytes as one file, and whether weights from beside it were put inside."""
    if not path.is_file():
        what = f"{path} is a folder." if path.is_dir() else f"{path} does not exist."
        raise DataError(what, "Give an ONNX file, such as model.onnx.")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} has more than 2 GB.", "An ONNX file in one piece holds less.")
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the disk and its rights.") from None
    except (DecodeError, ValueError):
        raise DataError(
            f"{path} is no ONNX file.", "Give a graph: torch.onnx.export, skl2onnx, ... write one."
        ) from None
    if not model.graph.node:
        raise DataError(f"{path} is no ONNX file, or its graph is empty.", "Give a graph that computes something.")
    if not any(external_data_helper.uses_external_data(t) for t in external_data_helper._get_all_tensors(model)):
        return model, content, False
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
        content = model.SerializeToString(deterministic=True)
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        what = f"{path} keeps weights in other files, which cannot be put inside: {_first_line(error)}."
        mend = f"They must lie beside it, in {path.parent.absolute()}, and take less than 2 GB together."
        raise DataError(what, mend) from None
    return model, content, True


def _opset(model: onnx.ModelProto) -> int:
    return max((int(o.version) for o in model.opset_import if o.domain in _DEFAULT_DOMAINS), default=LEAST_OPSET)


def _too_old(path: Path, opset: int) -> Problem:
    name = path.stem
    mend = (
        f'Convert it: python -c "import onnx; from onnx import version_converter as c; '
        f"onnx.save(c.convert_version(onnx.load('{path}'), 17), '{name}_17.onnx')\""
    )
    return Problem(what=f"{path} is of opset {opset}; {LEAST_OPSET} or more is needed.", mend=mend)


def _inputs(graph: onnx.GraphProto, problems: list[Problem]) -> tuple[GraphInput, ...]:
    """Inputs without those that only name a constant."""
    constants = {i.name for i in graph.initializer} | {i.values.name for i in graph.sparse_initializer}
    found = [_input(v, problems) for v in graph.input if v.name not in constants]
    if not found:
        problems.append(Problem(what="The graph has no inputs.", mend="Export it with the data as its input."))
    return tuple(i for i in found if i is not None)


def _input(value: onnx.ValueInfoProto, problems: list[Problem]) -> GraphInput | None:
    name, tensor = value.name, value.type.tensor_type
    dtype = _dtype(tensor.elem_type) if value.type.HasField("tensor_type") else ""
    if dtype not in _DTYPES:
        came = {"str": "texts", "object": "texts", "": "no tensor"}.get(dtype, dtype)
        mend = "Inputs of numbers and truth values can be fed; export the graph behind the step that reads the texts."
        problems.append(Problem(what=f"The input {quoted(name)} is {came}.", mend=mend))
        return None
    if not tensor.HasField("shape"):
        return GraphInput(name=name, dtype=dtype, shape=None)
    sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    if not sizes or sizes[0] not in (None, 1):
        what = f"The input {quoted(name)} takes " + (f"exactly {sizes[0]} rows at a time." if sizes else "no rows.")
        mend = "Export it with a free first dimension: torch.onnx.export(..., dynamic_shapes=...), or of size 1."
        problems.append(Problem(what=what, mend=mend))
        return None
    return GraphInput(name=name, dtype=dtype, shape=tuple(sizes[1:]))


def _dtype(element: int) -> str:
    try:
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(element)).name)
    except (KeyError, TypeError, ValueError):
        return ""


def _scores(model: onnx.ModelProto, problems: list[Problem]) -> str:
    """Name of the first output of floats, (rows, k) or (rows,); a shape that the file does not say is inferred."""
    outputs = list(model.graph.output)
    if any(_is_float(v) and not v.type.tensor_type.HasField("shape") for v in outputs):
        try:
            outputs = list(onnx.shape_inference.infer_shapes(model).graph.output)
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
            outputs = list(model.graph.output)
    for value in outputs:
        shape = value.type.tensor_type.shape
        if _is_float(value) and (not value.type.tensor_type.HasField("shape") or 1 <= len(shape.dim) <= 2):
            return str(value.name)
    if any(v.type.HasField("sequence_type") for v in outputs):
        what = "The scores come as a sequence of maps (ZipMap), from which no form can be judged."
        mend = "Convert it with arrays: to_onnx(model, X, options={'zipmap': False}); in onnxmltools zipmap=False."
        problems.append(Problem(what=what, mend=mend))
        return ""
    what = f"No output is of floats, (rows, k) or (rows,): {listed([_told(v) for v in outputs])}."
    mend = "Export the graph with its scores or values as an output of that shape."
    problems.append(Problem(what=what, mend=mend))
    return ""


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in _FLOATS


def _told(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sizes = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
    return f"{value.name} {_dtype(tensor.elem_type)} ({', '.join(sizes)})"


def _weights(model: onnx.ModelProto) -> dict[str, int]:
    """Constant float32 numbers that each operator of PRODUCTS multiplies with, and nodes of TREES.

    What is of a pipeline's preprocessing does not count.
    """
    graph = model.graph
    tensors = {i.name: i for i in graph.initializer} | {node.output[0]: t for node, t in _constant_nodes(graph)}
    sizes = {name: math.prod(t.dims) for name, t in tensors.items() if t.data_type == onnx.TensorProto.FLOAT}
    found: dict[str, int] = {}
    for node in model_nodes(model):
        if node.op_type in PRODUCTS:
            numbers = sum(sizes.get(name, 0) for name in node.input[:2])
            found[node.op_type] = found.get(node.op_type, 0) + (numbers if numbers >= LEAST_NUMBERS else 0)
        elif node.op_type in TREES:
            found[node.op_type] = found.get(node.op_type, 0) + max(len(a.ints) for a in node.attribute)
    return {op: count for op, count in found.items() if count}


def _nodes(model: onnx.ModelProto) -> dict[str, int]:
    """How many there are of each operator of PRODUCTS, less what is of a pipeline's preprocessing."""
    return dict(Counter(node.op_type for node in model_nodes(model) if node.op_type in PRODUCTS))


def _constant_nodes(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, Any]]:
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node, a.t) for a in node.attribute if a.name == "value")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
