"""One graph from two: raw columns in at the preprocessing's side, scores out at the model's."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import onnx
from onnx import compose, helper, version_converter

from autoopt.strategies.graph import drop_notes
from autoopt.strategies.model import CODES, FEATURES, IR_VERSION, OPSET, SCORES
from autoopt.task.facts import TaskFacts
from autoopt.task.graph.preprocessing import PRODUCER

_PREPARE: Final = "prepare/"
_MODEL: Final = "model/"
_DEFAULT_DOMAINS = ("", "ai.onnx")


def join(
    prepare: onnx.ModelProto | None,
    model: onnx.ModelProto,
    metadata: Mapping[str, str],
    complete: Callable[[onnx.GraphProto], None] | None = None,
) -> onnx.ModelProto:
    """The whole pipeline as one checked graph.

    Without a preprocessing graph it is the model's, which then takes raw inputs. Inputs keep the names that the
    preprocessing graph gives them, the output is SCORES; inner names get a prefix, so
    that the halves cannot clash. Nodes and constants that nothing reads are left out, `metadata` becomes the model's
    metadata_props, and `complete` may add what comes after the scores. Raises onnx.checker.ValidationError when the
    result does not hold up.
    """
    joined = _ready(model) if prepare is None else _merged(prepare, model)
    prune(joined.graph)
    if complete is not None:
        complete(joined.graph)
    helper.set_model_props(joined, dict(metadata))
    onnx.checker.check_model(joined, full_check=True)
    return joined


def _merged(prepare: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Both graphs as one, the outputs of the first being the inputs of the second."""
    first, second = _ready(prepare), _ready(model)
    _align_opsets(first, second)
    first = compose.add_prefix(first, free_prefix(_PREPARE, prepare.graph), rename_inputs=False, inplace=True)
    second = compose.add_prefix(second, free_prefix(_MODEL, prepare.graph), rename_outputs=False, inplace=True)
    offered = {v.name.removeprefix(free_prefix(_PREPARE, prepare.graph)): v.name for v in first.graph.output}
    wanted = {v.name.removeprefix(free_prefix(_MODEL, prepare.graph)): v.name for v in second.graph.input}
    links = [(offered[name], wanted[name]) for name in (FEATURES, CODES) if name in wanted]
    joined = compose.merge_models(first, second, io_map=links, name="autoopt", producer_name=PRODUCER)
    unique = {o.domain: o.version for o in joined.opset_import}  # merge_models lists each half's imports
    del joined.opset_import[:]
    joined.opset_import.extend(helper.make_opsetid(d, v) for d, v in unique.items())
    return joined


def pipeline_metadata(facts: TaskFacts, version: str) -> dict[str, str]:
    """What a graph says about itself, as texts."""
    return {
        "autoopt.version": version,
        "autoopt.kind": str(facts.kind),
        "autoopt.classes": json.dumps(list(facts.classes), ensure_ascii=False),
        "autoopt.target": facts.target,
    }


def free_prefix(wish: str, graph: onnx.GraphProto) -> str:
    """The prefix, lengthened while the name of an input, which may be any column's, begins with it."""
    while any(v.name.startswith(wish) for v in graph.input):
        wish = "_" + wish
    return wish


def _ready(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the leftovers of its maker, at the pinned opset and IR version."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    opset = next((o.version for o in copy.opset_import if o.domain in _DEFAULT_DOMAINS), OPSET)
    if opset != OPSET:
        copy = version_converter.convert_version(copy, OPSET)
    copy.ir_version = IR_VERSION
    del copy.metadata_props[:]
    drop_notes(copy)
    return copy


def _align_opsets(first: onnx.ModelProto, second: onnx.ModelProto) -> None:
    """Both models import the same versions: where they differ, the model's.

    The text operators of preprocessing are the same in every version of `ai.onnx.ml` that we write, while of the two
    tree operators one came with version 5 and the other left with it. The check of the joined graph has the last word.
    """
    versions: dict[str, int] = {}
    for entry in (*first.opset_import, *second.opset_import):
        versions["" if entry.domain in _DEFAULT_DOMAINS else entry.domain] = entry.version
    for model in (first, second):
        used = {n.domain for n in model.graph.node} | {f.domain for f in model.functions}
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(d, v) for d, v in versions.items() if d in ("", *used))


def prune(graph: onnx.GraphProto) -> None:
    """Keep SCORES, and of nodes and constants only what it needs."""
    kept_outputs = [v for v in graph.output if v.name == SCORES]
    del graph.output[:]
    graph.output.extend(kept_outputs)
    needed = {SCORES}
    kept_nodes = []
    for node in reversed(graph.node):  # topological order is ONNX's own rule
        if needed.intersection(node.output):
            kept_nodes.append(node)
            needed.update(_reads(node))
    kept_nodes.reverse()
    kept_constants = [t for t in graph.initializer if t.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept_nodes)
    graph.initializer.extend(kept_constants)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those inside its subgraphs included."""
    yield from node.input
    for graph in subgraphs(node.attribute):
        for inner in graph.node:
            yield from _reads(inner)
        yield from (v.name for v in graph.output)


def subgraphs(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node's attributes (of If, Loop, Scan)."""
    for attribute in attributes:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
