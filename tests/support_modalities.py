"""Bundles of texts, images and arrays around small graphs made by hand: no training, real files and sessions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from support_bundle import study_row, trial_row

from autoopt.bundle import BundleContents, write_bundle
from autoopt.files import sha256_file
from autoopt.runtime import Session
from autoopt.stages.contract import VerifiedArtifact, VerifyResult
from autoopt.stages.rows import feed_of
from autoopt.stages.sample import raw_columns, sample_rows
from autoopt.strategies.graph import GraphBuilder
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts, TensorFacts
from autoopt.task.snapshot import Part
from autoopt.values import Measurement

ROWS = 24
CLASSES = ("bird", "cat", "dog")
HEIGHT, WIDTH = 12, 16


@dataclass(frozen=True, kw_only=True)
class HandMade:
    """A bundle, and the raw rows that its sample is taken of."""

    folder: Path
    facts: TaskFacts
    part: Part
    contents: BundleContents


def facts_of(modality: Modality, **changes: object) -> TaskFacts:
    facts = TaskFacts(
        name="made",
        modality=modality,
        kind=Kind.MULTICLASS,
        metric="accuracy",
        metric_direction="maximize",
        target="label",
        classes=CLASSES,
        numeric_classes=False,
        columns=(),
        rows={"train": 60, "valid": ROWS, "test": 20},
        fingerprint="0" * 64,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def part_of(**changes: object) -> Part:
    part = Part(
        numbers=np.zeros((ROWS, 0)),
        categories=np.zeros((ROWS, 0), dtype=object),
        target=np.arange(ROWS) % 3,
        row_ids=np.arange(1, ROWS + 1),
    )
    return replace(part, **changes)  # type: ignore[arg-type]


def scored(graph: GraphBuilder, logits: str) -> onnx.ModelProto:
    graph.output("scores", graph.add("Softmax", logits, axis=1), np.float32, ("rows", 3))
    return graph.build()


def image_graph() -> onnx.ModelProto:
    """The mean of each colour, a class each."""
    graph = GraphBuilder("colours")
    pixels = graph.input("image", np.uint8, ("rows", HEIGHT, WIDTH, 3))
    reals = graph.add("Cast", pixels, to=onnx.TensorProto.FLOAT)
    means = graph.add("ReduceMean", reals, graph.constant([1, 2], np.int64), keepdims=0)
    return scored(graph, graph.add("Div", means, graph.constant(20.0, np.float32)))


def text_graph() -> onnx.ModelProto:
    """Three texts that it knows, in the title and in the body."""
    graph = GraphBuilder("words")
    title, body = (graph.input(name, str, ("rows", 1)) for name in ("title", "body"))
    words: Any = {"keys_strings": ["bird", "a cat", "dogé"], "values_floats": [1.0, 2.0, 3.0], "default_float": 0.0}
    encoded = [graph.ml("LabelEncoder", texts, **words) for texts in (title, body)]
    found = graph.add("Add", *encoded)
    return scored(graph, graph.add("Mul", found, graph.constant([[0.1, 0.7, -0.3]], np.float32)))


def tensor_graph() -> onnx.ModelProto:
    """Two inputs: a signal, and a bias for each class."""
    graph = GraphBuilder("signal")
    signal = graph.input("signal", np.float32, ("rows", 3, 4))
    bias = graph.input("bias", np.int64, ("rows", 3))
    sums = graph.add("ReduceSum", signal, graph.constant([2], np.int64), keepdims=0)
    return scored(graph, graph.add("Add", sums, graph.add("Cast", bias, to=onnx.TensorProto.FLOAT)))


def image_task() -> tuple[TaskFacts, Part]:
    pixels = np.random.default_rng(5).integers(0, 256, (ROWS, HEIGHT, WIDTH, 3), dtype=np.uint8)
    tensors = (TensorFacts(name="image", dtype="uint8", shape=(HEIGHT, WIDTH, 3)),)
    return facts_of(Modality.IMAGES, tensors=tensors), part_of(tensors=(pixels,))


def text_task() -> tuple[TaskFacts, Part]:
    words = np.array(["bird", "a cat", "dogé", "", "two\nlines", 'say "hi", you'], dtype=object)
    texts = np.stack([words[np.arange(ROWS) % len(words)], np.full(ROWS, "", dtype=object)], axis=1)
    columns = tuple(ColumnFacts(name=n, role=Role.TEXT, used=True) for n in ("title", "body"))
    columns += (ColumnFacts(name="label", role=Role.TARGET, used=False),)
    return facts_of(Modality.TEXT, columns=columns), part_of(texts=texts)


def tensor_task() -> tuple[TaskFacts, Part]:
    draw = np.random.default_rng(6)
    signal, bias = draw.normal(size=(ROWS, 3, 4)).astype(np.float32), draw.integers(-2, 3, (ROWS, 3))
    signal[3, 0, 0] = np.nan
    tensors = (
        TensorFacts(name="signal", dtype="float32", shape=(3, 4)),
        TensorFacts(name="bias", dtype="int64", shape=(3,)),
    )
    return facts_of(Modality.MODULE, tensors=tensors, module="task.py:task"), part_of(tensors=(signal, bias))


def hand_made(
    folder: Path, task: Callable[[], tuple[TaskFacts, Part]], graph: Callable[[], onnx.ModelProto]
) -> HandMade:
    """Write the bundle to `folder / "bundle"`."""
    facts, part = task()
    stored = folder / "stored.onnx"
    stored.write_bytes(graph().SerializeToString())
    chosen = part.take(sample_rows(part))
    scores = Session(stored).run(feed_of(facts, chosen)).astype(float).tolist()
    times = {"p50_ms": 0.02, "p95_ms": 0.03, "low_ms": 0.02, "high_ms": 0.03}
    artifact = VerifiedArtifact(
        role="float",
        artifact_key="1" * 64,
        file=str(stored),
        sha256=sha256_file(stored),
        size_bytes=stored.stat().st_size,
        recipe={"model": "made"},
        valid=Measurement(value=0.5, low=0.4, high=0.6),
        test=None,
        latency={"batch_1": times, "batch_256": times, "threads": 1, "alone": True},
        parity={"rows": ROWS, "gate": "scores", "holds": True},
    )
    verified = VerifyResult(
        float_artifact=artifact,
        twin=None,
        twin_reason="",
        sample={"columns": raw_columns(facts, chosen), "float": scores},
    )
    contents = BundleContents(
        study=study_row(),
        facts=facts,
        trial=trial_row(7, 0.5, 0.02, 900.0),
        pick="best",
        verified=verified,
        chosen="float",
        missed="",
        tolerance=0.01,
        test_looks=0,
        report_html="<!doctype html><title>made</title>",
    )
    write_bundle(folder / "bundle", contents)
    return HandMade(folder=folder / "bundle", facts=facts, part=part, contents=contents)
