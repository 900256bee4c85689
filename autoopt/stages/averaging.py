"""One graph from several: the same raw inputs in, the weighted mean of their scores out.

What several members compute alike, mostly their preprocessing, is in it once: nodes with the same operator, attributes
and inputs become one, from the inputs on. So members need not know of each other, and half a preprocessing is shared
where only half of it is the same.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

from autoopt.errors import StageFailure
from autoopt.stages.join import free_prefix, prune, subgraphs
from autoopt.strategies.graph import ML_DOMAIN
from autoopt.strategies.model import IR_VERSION, SCORES
from autoopt.task.graph.preprocessing import PRODUCER
from autoopt.values import FailureReason

_MEAN: Final = "mean/"
_CHANCE: Final = ("Random", "Bernoulli", "Multinomial")
"""Beginnings of operators whose nodes differ however alike they are written."""
OLD_TREES: Final = "TreeEnsembleRegressor"
"""Up to `ai.onnx.ml` 4."""
NEW_TREES: Final = "TreeEnsemble"
"""From `ai.onnx.ml` 5 on."""
_OLD_ML, _NEW_ML = 4, 5


def averaged(graphs: Sequence[onnx.ModelProto], shares: Sequence[float]) -> onnx.ModelProto:
    """The whole pipelines `graphs` as one, SCORES being their mean by `shares`; not checked, without metadata.

    Other outputs than SCORES go. Raises StageFailure when their inputs or the versions of their operators differ.
    """
    inputs = _common_inputs(graphs)
    merged = onnx.ModelProto(ir_version=IR_VERSION, producer_name=PRODUCER)
    merged.graph.name = "autoopt"
    merged.graph.input.extend(inputs)
    for k, graph in enumerate(graphs, start=1):
        member = _prefixed(graph, f"member{k}/")
        merged.graph.node.extend(member.graph.node)
        merged.graph.initializer.extend(member.graph.initializer)
        merged.functions.extend(member.functions)
    merged.graph.output.extend(v for v in graphs[0].graph.output if v.name == SCORES)
    merged.opset_import.extend(_versions(graphs))
    _append_mean(merged.graph, shares)
    share_what_is_alike(merged.graph)
    return merged


def tree_operators(graph: onnx.ModelProto) -> set[str]:
    """Which of the two operators for trees, that no version of their domain has together, a graph uses."""
    return {node.op_type for node in graph.graph.node} & {OLD_TREES, NEW_TREES}


def _common_inputs(graphs: Sequence[onnx.ModelProto]) -> list[onnx.ValueInfoProto]:
    """The inputs of all, which are the same. Raises StageFailure when they are not."""
    first = {v.name: v for v in graphs[0].graph.input}
    for graph in graphs[1:]:
        other = {v.name: _kind(v) for v in graph.graph.input}
        if other != {name: _kind(v) for name, v in first.items()}:
            message = "the members' graphs take different inputs, so that they cannot be one graph"
            raise StageFailure(FailureReason.ERROR, message)
    return list(first.values())


def _kind(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    """Element type and shape of an input; free dimensions as -1, whatever their name."""
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)


def _prefixed(graph: onnx.ModelProto, wish: str) -> onnx.ModelProto:
    """A copy that gives SCORES alone, every name but the inputs' with the prefix."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    prune(copy.graph)
    prefix = free_prefix(wish, copy.graph)
    return compose.add_prefix(copy, prefix, rename_inputs=False, inplace=True)


def _versions(graphs: Iterable[onnx.ModelProto]) -> list[onnx.OperatorSetIdProto]:
    """One version of each domain. Of `ai.onnx.ml`, the one that has the operator for trees: the rest is in both."""
    found: dict[str, int] = {}
    trees: set[str] = set()
    for graph in graphs:
        trees |= tree_operators(graph)
        for entry in graph.opset_import:
            found[entry.domain] = max(entry.version, found.get(entry.domain, 0))
    if len(trees) > 1:
        message = "its members' trees are written for different versions of ONNX's operators"
        raise StageFailure(FailureReason.ERROR, message)
    if trees:
        found[ML_DOMAIN] = _OLD_ML if OLD_TREES in trees else _NEW_ML
    return [helper.make_opsetid(domain, version) for domain, version in sorted(found.items())]


def _append_mean(graph: onnx.GraphProto, shares: Sequence[float]) -> None:
    """SCORES: the members' scores, each times its share, summed."""
    prefix = free_prefix(_MEAN, graph)
    weighted = []
    for k, share in enumerate(shares, start=1):
        scores = f"{free_prefix(f'member{k}/', graph)}{SCORES}"
        constant, product = f"{prefix}share{k}", f"{prefix}weighted{k}"
        graph.initializer.append(numpy_helper.from_array(np.array(share, dtype=np.float32), constant))
        graph.node.append(helper.make_node("Mul", [scores, constant], [product], name=product))
        weighted.append(product)
    graph.node.append(helper.make_node("Sum", weighted, [SCORES], name=f"{prefix}sum"))


def share_what_is_alike(graph: onnx.GraphProto) -> None:
    """Leave one of each set of equal constants, and of nodes that compute the same from the same; in place.

    Graphs with inner graphs stay as they are: these may read any name around them.
    """
    if any(True for node in graph.node for _ in subgraphs(node.attribute)):
        return
    same = _equal_constants(graph)
    kept: list[onnx.NodeProto] = []
    seen: dict[bytes, onnx.NodeProto] = {}
    outputs = {v.name for v in graph.output} | {SCORES}
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        twin = None if node.op_type.startswith(_CHANCE) else seen.setdefault(_fingerprint(node), node)
        if twin is None or twin is node or outputs.intersection(node.output):
            kept.append(node)
        else:
            same.update(zip(node.output, twin.output, strict=True))
    kept_nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(kept_nodes)
    constants = [onnx.TensorProto.FromString(t.SerializeToString()) for t in graph.initializer if t.name not in same]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _equal_constants(graph: onnx.GraphProto) -> dict[str, str]:
    """Names of constants that are there before under another name → that name."""
    first: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for constant in graph.initializer:
        name = constant.name
        constant.name = ""
        content = hashlib.sha256(constant.SerializeToString(deterministic=True)).digest()
        constant.name = name
        if first.setdefault(content, name) != name:
            same[name] = first[content]
    return same


def _fingerprint(node: onnx.NodeProto) -> bytes:
    """What a node computes, whatever it and its outputs are called."""
    wanted = bytes(bool(name) for name in node.output)  # an output that is left out is not there for another node
    parts = [node.domain.encode(), node.op_type.encode(), wanted, str(len(node.input)).encode()]
    parts += [name.encode() for name in node.input]
    parts += sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
