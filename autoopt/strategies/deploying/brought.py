"""A trained graph that the user brought: nothing is trained, and what is made of it can take its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import write_bytes
from autoopt.files.pictures import as_input
from autoopt.runtime import Session, as_scores, rows_at_once
from autoopt.space.narrow import Untold
from autoopt.strategies.deploying.pipeline import Pipeline
from autoopt.strategies.deploying.tidied import tidied
from autoopt.strategies.model import Artifact, Model, Prepared, Trained, TrainingContext, TrainingData
from autoopt.strategies.text.tokenizer import text_batches
from autoopt.task.facts import GraphFacts, Modality, TensorFacts
from autoopt.values import FailureReason

FILE: Final = "brought.onnx"
CONVOLUTIONS: Final = ("Conv", "ConvTranspose")
PRODUCTS: Final = ("MatMul", "Gemm")


@final
@dataclass(frozen=True, kw_only=True)
class GraphRows(Prepared):
    """Rows as the graph takes them."""

    inputs: tuple[TensorFacts, ...]
    values: tuple[NDArray[Any], ...]  # (rows, ...) each, pixels as they were decoded
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # (rows, 1) by input, of a bundle's graph

    @property
    def rows(self) -> int:
        return len((*self.values, *self.columns.values())[0])

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        pairs = zip(self.inputs, self.values, strict=True)
        arrays = {i.name: as_graph_takes(i, np.ascontiguousarray(values[chosen])) for i, values in pairs}
        return {name: np.ascontiguousarray(values[chosen]) for name, values in self.columns.items()} | arrays


def outputs_of(session: Session, rows: GraphRows) -> Iterator[tuple[int, NDArray[Any]]]:
    """(first row, the judged output) of as many rows at a time as fit in memory. Raises BundleError."""
    batch = rows_at_once(texts=False, row_bytes=sum(values[:1].nbytes for values in rows.values))
    texts = [values for values in rows.columns.values() if values.dtype == object]
    every = (slice(start, start + batch) for start in range(0, rows.rows, batch))
    for chosen in text_batches(np.concatenate(texts, axis=1)) if texts else every:
        yield chosen.start, session.run(rows.model_feed(chosen))


def as_graph_takes(facts: TensorFacts, values: NDArray[Any]) -> NDArray[Any]:
    """Rows of an input as the snapshot holds them, as the graph takes them."""
    return values if facts.pixels is None else as_input(values, facts.pixels)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class BroughtArtifact(Artifact):
    """The bytes of the user's file."""

    kind: ClassVar[str] = "brought"

    content: bytes

    def save(self, folder: Path) -> None:
        write_bytes(folder / FILE, self.content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(content=(folder / FILE).read_bytes())

    def graph(self) -> onnx.ModelProto:
        """The same graph as the quantizer likes it."""
        return tidied(onnx.load_model_from_string(self.content))

    def pipeline(self) -> Pipeline:
        """The graph with its preprocessing, where it has one that autoopt wrote, apart."""
        return Pipeline(onnx.load_model_from_string(self.content))

    def compact_graph(self) -> onnx.ModelProto:
        """The same trees in fewer bytes. Raises StageFailure where there are none that it can be done for."""
        from autoopt.strategies.trees.brought import compacted

        return compacted(onnx.load_model_from_string(self.content))

    def trimmed_graph(self, rows: Prepared, *, score_change: float) -> onnx.ModelProto:
        """Fewer and rounder trees. Raises StageFailure where they are not one model's that autoopt wrote."""
        from autoopt.strategies.trees.rewritten import trimmed_in

        return trimmed_in(onnx.load_model_from_string(self.content), rows, score_change=score_change)

    def drop_in(self, made: onnx.ModelProto) -> onnx.ModelProto:
        """What was made of it, with the inputs and outputs declared as in it. Raises StageFailure where they differ."""
        own, constants = onnx.load_model_from_string(self.content).graph, {i.name for i in made.graph.initializer}
        for mine, others in ((own.input, made.graph.input), (own.output, made.graph.output)):
            wanted = [v for v in mine if v.name not in constants]
            if [_signature(v) for v in wanted] != [_signature(v) for v in others if v.name not in constants]:
                message = "its inputs or outputs would be other than those of the graph that was brought"
                raise StageFailure(FailureReason.ERROR, message)
            del others[:]  # the quantizer has inferred shapes of its own
            others.extend(wanted)
        return made


@final
@dataclass(frozen=True, kw_only=True)
class Brought(Model):
    """The user's own graph, as it came: `autoopt compress model.onnx --data ROWS`.

    It is run once on the valid rows, in float: what every form of it is held to. Its file is exported unchanged beside
    the form that keeps the limits; both have the inputs and outputs that it came with.
    """

    name: ClassVar[str] = "brought"
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.GRAPH,)
    artifact_kind: ClassVar[str] = BroughtArtifact.kind

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        if data.pretrained is None or data.facts.graph is None:
            raise StageFailure(FailureReason.ERROR, "The task has no graph of the user's own.")
        content = data.pretrained.read_bytes()
        found = []
        for start, given in outputs_of(Session(content), data.valid):
            found.append(given)
            context.report(start, {})
        scores = as_scores(np.concatenate(found), data.facts.graph.form)
        return Trained(artifact=BroughtArtifact(content=content), valid_scores=scores.astype(np.float64))


def why_not(value: object, graph: GraphFacts) -> str | None:
    """Why a form of `quantize` does not fit this graph, in a user's words; None where it may."""
    weights = graph.weights
    convolved, products = (sum(weights.get(op, 0) for op in ops) for ops in (CONVOLUTIONS, PRODUCTS))
    trees = sum(count for op, count in weights.items() if op not in (*CONVOLUTIONS, *PRODUCTS))
    if value == "none":
        return None
    if value == "compact":
        return None if trees else Untold("it has no trees")
    if value == "trimmed":
        return None if graph.own_trees else Untold("it has no trees that a search found")
    if value == "weights_int8":
        return "it is for linear models that were made here"
    if not convolved + products:
        reason = "it has no products (Conv, MatMul, Gemm) with constant float32 weights"
        return reason if value == "static_int8" else Untold(reason)
    if value == "dynamic_int8" and convolved > products:
        return "the runtime's dynamic convolutions are several times slower than its float ones"
    return None


def int8_nodes(graph: GraphFacts) -> int | None:
    """How many products and convolutions static int8 may serve; None where the snapshot does not say."""
    if not graph.nodes:
        return None
    weights = graph.weights
    convolves = weights.get(CONVOLUTIONS[0], 0) > sum(weights.get(op, 0) for op in PRODUCTS)
    served = (CONVOLUTIONS[0], *PRODUCTS) if convolves else PRODUCTS
    return sum(graph.nodes.get(op, 0) for op in served)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, int]:
    return str(value.name), int(value.type.tensor_type.elem_type)
