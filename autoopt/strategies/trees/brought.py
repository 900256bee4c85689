"""Trees in a graph that autoopt did not write, in the compact encoding: same inputs, same outputs, fewer bytes.

Converters (onnxmltools, skl2onnx) write TreeEnsembleClassifier and TreeEnsembleRegressor of `ai.onnx.ml` 1 to 3. What
these do beyond adding up leaves (base values, transforms, labels) becomes standard operators behind TreeEnsemble. Where
the standard is vague, such as two classes with votes for one, it is done as onnxruntime does it.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from autoopt.errors import StageFailure
from autoopt.strategies.model import FEATURES, IR_VERSION, ML_OPSET, OPSET
from autoopt.strategies.trees.brought_nodes import CLASSIFIER, REGRESSOR, BroughtTrees, read_trees, refused
from autoopt.strategies.trees.compact import Aggregate, compact_rows, compact_votes
from autoopt.strategies.trees.nodes import ML_DOMAIN, RAW
from autoopt.values import FailureReason

_LEAST_OPSET: Final = 13
_NEAR_ZERO: Final = 1e-7  # what SOFTMAX_ZERO takes for 0


def compacted(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each of its tree operators in the compact encoding, as a new one; `packed_bytes` writes it.

    Outputs are equal to the bit where each leaf votes for one output and nothing transforms the sums, else within 1e-6.
    Raises StageFailure where there are no such operators, or one of them has no compact form.
    """
    places = [i for i, node in enumerate(model.graph.node) if _is_trees(node)]
    _require_trees(model, places)
    found = _of_late_opsets(model)
    places = [i for i, node in enumerate(found.graph.node) if _is_trees(node)]
    types = _element_types(found)
    nodes = list(found.graph.node)
    del found.graph.node[:], found.graph.value_info[:]
    taken = {name for node in nodes for name in (*node.input, *node.output)}
    taken |= {t.name for t in found.graph.initializer}
    for place, node in enumerate(nodes):
        if place not in places:
            found.graph.node.append(node)
            continue
        written = _Writer(_free_prefix(f"trees_{place}/", taken))
        _replace(node, types.get(node.input[0], onnx.TensorProto.FLOAT), written)
        found.graph.node.extend(written.nodes)
        found.graph.initializer.extend(written.constants)
    try:
        onnx.checker.check_model(found)
    except onnx.checker.ValidationError as error:
        message = f"The graph with compact trees is not valid ONNX: {str(error).splitlines()[0]}."
        raise StageFailure(FailureReason.ERROR, message) from error
    return found


def _is_trees(node: onnx.NodeProto) -> bool:
    return node.domain == ML_DOMAIN and node.op_type in (CLASSIFIER, REGRESSOR)


def _require_trees(model: onnx.ModelProto, places: list[int]) -> None:
    inner = [node for graph in _inner_graphs(model) for node in graph if _is_trees(node)]
    if inner:
        raise refused(inner[0], "it stands inside a branch, a loop or a function of the graph")
    if places:
        return
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        message = "The graph's trees are in the compact encoding (TreeEnsemble) already."
    else:
        message = f"The graph holds no trees: none of its operators is a {CLASSIFIER} or a {REGRESSOR}."
    raise StageFailure(FailureReason.ERROR, message)


def _inner_graphs(model: onnx.ModelProto) -> Iterator[list[onnx.NodeProto]]:
    """The nodes of every function, and of every graph within a node."""
    waiting: list[list[onnx.NodeProto]] = [list(f.node) for f in model.functions]
    yield from waiting
    waiting.append(list(model.graph.node))
    while waiting:
        for node in waiting.pop():
            for attribute in node.attribute:
                for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                    waiting.append(list(graph.node))
                    yield waiting[-1]


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of each value whose type is known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        inferred = model
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    found = {v.name: v.type.tensor_type.elem_type for v in values}
    return {name: kind for name, kind in found.items() if kind} | {
        t.name: t.data_type for t in inferred.graph.initializer
    }


def _of_late_opsets(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of opset 13 or later, which imports the `ai.onnx.ml` that the compact encoding is of."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in copy.opset_import}
    if versions.setdefault("", OPSET) < _LEAST_OPSET:  # onnxmltools writes the lowest that its nodes can do with
        try:
            copy = onnx.version_converter.convert_version(copy, _LEAST_OPSET)
        except (RuntimeError, onnx.version_converter.ConvertError) as error:
            message = f"The graph is of opset {versions['']}, and cannot be converted to {_LEAST_OPSET}: {error}."
            raise StageFailure(FailureReason.ERROR, message) from error
        versions[""] = _LEAST_OPSET
    versions[ML_DOMAIN] = ML_OPSET
    del copy.opset_import[:]
    copy.opset_import.extend(helper.make_opsetid(d, v) for d, v in versions.items())
    copy.ir_version = max(copy.ir_version, IR_VERSION)
    return copy


def _free_prefix(wish: str, taken: set[str]) -> str:
    while any(name.startswith(wish) for name in taken):
        wish = "_" + wish
    return wish


class _Writer:
    """Nodes and constants, named under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[Any]) -> str:
        name = f"{self._prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, *inputs: str, gives: str = "", **attributes: Any) -> str:
        """The name of what it gives: `gives`, or one of its own."""
        name = gives or f"{self._prefix}{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def inserted(self, nodes: tuple[onnx.NodeProto, ...], constants: tuple[onnx.TensorProto, ...], source: str) -> str:
        """Nodes from FEATURES to RAW, which reads `source`: the name of what RAW is here."""

        def renamed(name: str) -> str:
            return source if name == FEATURES else self._prefix + name

        for node in nodes:
            node.input[:] = [renamed(name) for name in node.input]
            node.output[:] = [renamed(name) for name in node.output]
            self.nodes.append(node)
        for tensor in constants:
            tensor.name = renamed(tensor.name)
            self.constants.append(tensor)
        return renamed(RAW)


def _replace(node: onnx.NodeProto, element_type: int, out: _Writer) -> None:
    """Write what computes what the operator does."""
    trees = read_trees(node, double=element_type == onnx.TensorProto.DOUBLE)
    source = node.input[0]
    if element_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):  # whole numbers
        source = out.node("Cast", source, to=onnx.TensorProto.FLOAT)
    if trees.labels is None and trees.base.any() and not trees.surely_voted.all():
        raise refused(node, "not each row has votes for each output, and runtimes then leave out its base value")
    raw = _sums(node, trees, source, out)
    names = (*node.output, "")
    if trees.labels is None:
        _scores(_with_base(node, trees, raw, out), trees.transform if trees.outputs > 1 else "NONE", names[0], out)
    elif trees.outputs == 2:
        _two_classes(node, trees, raw, names, out)
    else:
        _many_classes(node, trees, raw, names, out)


def _sums(node: onnx.NodeProto, trees: BroughtTrees, source: str, out: _Writer) -> str:
    """What the leaves add up to: (rows, outputs), or (rows, 1) where all votes are for the first of two classes."""
    if trees.targets is not None:
        outputs = 1 if trees.labels is not None and trees.outputs == 2 and not trees.voted[1] else trees.outputs
        encoded = compact_votes(
            trees.arrays, trees.targets, trees.comparisons, outputs=outputs, aggregate=trees.aggregate
        )
    elif trees.aggregate in (Aggregate.SUM, Aggregate.AVERAGE):
        average = trees.aggregate is Aggregate.AVERAGE
        encoded = compact_rows(trees.arrays, trees.comparisons, average=average)
    else:
        raise refused(node, f"{trees.aggregate.name} over leaves that vote for several outputs")
    return out.inserted(encoded.nodes, encoded.constants, source)


def _with_base(node: onnx.NodeProto, trees: BroughtTrees, raw: str, out: _Writer, *, outputs: int = 0) -> str:
    if not trees.base.any():
        return raw
    if len(trees.base) != (outputs or trees.outputs):
        raise refused(node, f"{len(trees.base)} base values for {outputs or trees.outputs} outputs")
    return out.node("Add", raw, out.constant(trees.base.astype(trees.comparisons.threshold.dtype)))


def _scores(sums: str, transform: str, gives: str, out: _Writer) -> None:
    """The operator's scores, always float32, under the name `gives` ('': nobody reads them)."""
    if not gives:
        return
    if transform == "NONE":
        out.node("Cast", sums, gives=gives, to=onnx.TensorProto.FLOAT)
        return
    sums = out.node("Cast", sums, to=onnx.TensorProto.FLOAT)
    if transform == "LOGISTIC":
        out.node("Sigmoid", sums, gives=gives)
        return
    if transform == "SOFTMAX_ZERO":
        counts = out.node("Greater", out.node("Abs", sums), out.constant(np.array(_NEAR_ZERO, dtype=np.float32)))
        sums = out.node("Where", counts, sums, out.constant(np.array(np.finfo(np.float32).min)))
    out.node("Softmax", sums, gives=gives, axis=-1)


def _label(index: str, labels: NDArray[Any], gives: str, out: _Writer) -> None:
    """The label of each row's class number, under the name `gives`."""
    if gives:
        out.node("Gather", out.constant(labels), index, gives=gives, axis=0)


def _many_classes(node: onnx.NodeProto, trees: BroughtTrees, raw: str, names: tuple[str, ...], out: _Writer) -> None:
    labels = _labels_of(trees)
    if len(labels) < 2:
        raise refused(node, "it has one class only")
    # A runtime compares the classes only that a row has votes for; with votes above 0 that changes nothing
    if trees.negative and not trees.surely_voted.all() and not len(trees.base):
        raise refused(node, "it has negative votes, and not each row has votes for each class")
    sums = _with_base(node, trees, raw, out)
    if names[0]:
        _label(out.node("ArgMax", sums, axis=1, keepdims=0), labels, names[0], out)
    _scores(sums, trees.transform, names[1], out)


def _two_classes(node: onnx.NodeProto, trees: BroughtTrees, raw: str, names: tuple[str, ...], out: _Writer) -> None:
    """As onnxruntime does it: the label hangs on the second class alone, or on the only one that is voted for."""
    only_first = not trees.voted[1]
    if trees.voted.all() and not trees.surely_voted[1]:
        raise refused(node, "of its two classes some rows have no vote for the second, and runtimes differ there")
    if len(trees.base) and not (only_first and len(trees.base) == 1):
        raise refused(node, f"runtimes differ in what {len(trees.base)} base values mean for two classes")
    kind = trees.comparisons.threshold.dtype
    sums = _with_base(node, trees, raw, out, outputs=1)
    margin = sums if only_first else out.node("Gather", sums, out.constant(np.array([1])), axis=1)
    shares = not trees.voted.all() and not trees.negative  # votes are shares of the second class, not margins
    if names[0]:
        above = out.node("Greater", margin, out.constant(np.array(0.5 if shares else 0.0, dtype=kind)))
        flat = out.node("Reshape", above, out.constant(np.array([-1])))
        labels = _labels_of(trees)
        numbered = trees.voted.all() and labels.dtype != object  # the runtime then gives 0 and 1, whatever the labels
        _label(out.node("Cast", flat, to=onnx.TensorProto.INT64), np.arange(2) if numbered else labels, names[0], out)
    if not only_first:
        _scores(sums, trees.transform, names[1], out)
        return
    logistic = trees.transform == "LOGISTIC"
    subtract = shares and not logistic
    other = out.node("Sub", out.constant(np.array(1, dtype=kind)), sums) if subtract else out.node("Neg", sums)
    _scores(out.node("Concat", other, sums, axis=1), "LOGISTIC" if logistic else "NONE", names[1], out)


def _labels_of(trees: BroughtTrees) -> NDArray[Any]:
    return np.zeros(0) if trees.labels is None else trees.labels
