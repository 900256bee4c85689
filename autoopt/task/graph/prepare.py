"""A brought graph, rows and what the graph says of them become a task. Nothing is written before `save`."""

import hashlib
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import sha256_json
from autoopt.task.assemble import PreparedTask, fingerprint, part_arrays
from autoopt.task.facts import GraphFacts, Kind, Modality, TaskFacts
from autoopt.task.graph.labels import LOGITS, Judged, agreement, labelled
from autoopt.task.graph.reading import BroughtGraph
from autoopt.task.graph.rows import GivenRows
from autoopt.task.metrics import Metric, fitting_metric
from autoopt.task.options import TaskOptions
from autoopt.task.scoring import dummy_scores, score
from autoopt.task.snapshot import PartArrays
from autoopt.task.splits import BY_HASH, PARTS, Parts, by_hash, row_hashes, seeded
from autoopt.task.targets import Target
from autoopt.task.wording import count, quoted

LEAST_ROWS: Final = 10
FEW_ROWS: Final = 100
"""Of valid: with fewer, a single row moves the quality by more than the usual tolerance."""
OWN_ANSWER: Final = "agreement"
"""What is learned where there are no labels: to say what the graph says."""


def judged_by(rows: GivenRows, scores: NDArray[Any]) -> Judged:
    """What the rows are judged by, where the graph's output is `scores` (rows, k) or (rows, 1). Raises DataError."""
    require_finite(scores)
    return labelled(rows.label_name, rows.labels, scores) if rows.label_name else agreement(scores)


def require_finite(scores: NDArray[Any]) -> None:
    """Raises DataError where the graph gives something else than numbers."""
    bad = int((~np.isfinite(scores).all(axis=1)).sum())
    if bad:
        what = f"The graph gives values that are not finite on {bad:,} of {count(len(scores), 'row')}."
        raise DataError(what, "Give rows as it takes them; a scaling or a --normalize may be missing.")


def graph_task(
    graph: BroughtGraph, rows: GivenRows, judged: Judged, scores: NDArray[Any], options: TaskOptions
) -> PreparedTask:
    """The task; `scores` are the graph's own, as `judged.form` is read: (rows, classes) or (rows, 1).

    Raises DataError where the rows are too few or the metric cannot be computed, OptionError for one that does not fit.
    """
    if rows.rows < LEAST_ROWS:
        raise DataError(f"{options.rows} has {count(rows.rows, 'row')}; {LEAST_ROWS} are needed.", "Give more rows.")
    target = Target(kind=judged.kind, values=judged.target, classes=judged.classes)
    parts = _split(rows, target, options.seed)
    arrays = _arrays(rows, target, parts)
    categories = tuple(c.values for c in rows.columns if c.codes is not None)
    chosen = _metric(judged, options, rows)
    facts = TaskFacts(
        name=graph.path.name,
        modality=Modality.GRAPH,
        kind=judged.kind,
        metric=chosen.name,
        metric_direction=chosen.direction,
        target=rows.meant or rows.label_name or OWN_ANSWER,
        classes=judged.classes,
        numeric_classes=judged.numeric_classes,
        columns=tuple(c.facts for c in rows.columns),
        rows={part: len(arrays[part].target) for part in PARTS},
        fingerprint="",
        split=f"{BY_HASH} of each row (seed {options.seed}); equal rows stay together",
        seed=options.seed,
        tensors=rows.inputs,
        graph=GraphFacts(
            name=graph.path.name,
            sha256=hashlib.sha256(graph.content).hexdigest(),
            opset=graph.opset,
            scores=graph.scores,
            form=judged.form,
            labelled=bool(rows.label_name),
            weights=dict(graph.weights),
            nodes=dict(graph.nodes),
            own_trees=graph.own_trees,
            raw_form=rows.raw_form,
        ),
    )
    warnings = [*rows.warnings, *_warnings(graph, facts, arrays, scores, parts)]
    facts = replace(facts, warnings=tuple(warnings), fingerprint=_fingerprint(facts, categories, arrays))
    return PreparedTask(facts=facts, categories=categories, parts=arrays, graph=graph.content)


def _metric(judged: Judged, options: TaskOptions, rows: GivenRows) -> Metric:
    """Of a bundle its own, else of classes accuracy, unless another is asked for; without labels of values their r2."""
    usual = "accuracy" if judged.kind.classifies else None if rows.label_name else "r2"
    usual = (rows.metric or usual) if rows.label_name else usual
    chosen = fitting_metric(options.metric or usual, judged.kind, judged.classes)
    if chosen.name == "log_loss" and judged.form == LOGITS:
        what = "--metric log_loss needs probabilities, and the graph's output has rows that do not sum to 1."
        raise DataError(what, "Take --metric accuracy, or export the graph with a Softmax at its end.")
    return chosen


def _split(rows: GivenRows, target: Target, seed: int) -> Parts:
    """As a search splits the same rows: a bundle's model is not judged by what it learned from."""
    words = row_hashes(rows.columns, rows.rows, seed) if rows.columns else seeded(_row_words(rows), seed)
    if len(np.unique(words)) < LEAST_ROWS:
        what = f"Only {count(len(np.unique(words)), 'row')} of {rows.rows:,} differ from each other."
        raise DataError(what, f"Give at least {LEAST_ROWS} different rows.")
    return by_hash(words, target)


def _row_words(rows: GivenRows) -> NDArray[np.uint64]:
    """A hash of each row's inputs."""
    words = np.zeros(rows.rows, dtype=np.uint64)
    for at in range(rows.rows):
        digest = hashlib.blake2b(digest_size=8)
        for values in rows.values:
            digest.update(np.ascontiguousarray(values[at]).tobytes())
        words[at] = int.from_bytes(digest.digest(), "little")
    return words


def _arrays(rows: GivenRows, target: Target, parts: Parts) -> dict[str, PartArrays]:
    columns = part_arrays(rows.columns, target, parts, np.arange(rows.rows, dtype=np.int64) + 1)
    return {
        part: replace(columns[part], tensors=tuple(np.ascontiguousarray(v[parts == k]) for v in rows.values))
        for k, part in enumerate(PARTS)
    }


def _warnings(
    graph: BroughtGraph, facts: TaskFacts, arrays: dict[str, PartArrays], scores: NDArray[Any], parts: Parts
) -> list[str]:
    """What is worth saying; raises DataError where the metric means nothing on valid."""
    valid = np.flatnonzero(parts == 1)
    own = score(facts.metric, facts, arrays["valid"].target, scores[valid])
    if not np.isfinite(own):
        what = f"{facts.metric} is undefined on the {count(len(valid), 'row')} of valid."
        raise DataError(what, "Give more rows, or another --metric.")
    found = []
    if graph.inlined:
        found.append(f"{graph.path.name} keeps weights in other files; here they are put inside.")
    if len(valid) < FEW_ROWS:
        found.append(
            f"quality is judged on {count(len(valid), 'row')}: one of them is {1 / len(valid):.1%} of it. "
            "More rows tell more."
        )
    if facts.graph is not None and not facts.graph.labelled:
        found.append("no labels: quality is agreement with the graph itself")
        return found
    guess = score(facts.metric, facts, arrays["valid"].target, dummy_scores(facts, arrays["train"].target, len(valid)))
    worse = own <= guess if facts.metric_direction == "maximize" else own >= guess
    if worse and facts.kind is not Kind.REGRESSION:
        pixels = any(t.pixels for t in facts.tensors)
        hint = "is --normalize as in its training?" if pixels else "are the rows scaled as in its training?"
        found.append(
            f"the graph's own {facts.metric} is {own:.3g}, no better than a guess ({guess:.3g}): {hint} "
            f"Labels in sorted order, {quoted(facts.classes[0])} first, are its columns."
        )
    return found


def _fingerprint(facts: TaskFacts, categories: tuple[tuple[str, ...], ...], arrays: dict[str, PartArrays]) -> str:
    """SHA-256 over rows, split, metric, the graph's file and how it is fed and read."""
    graph = facts.to_json()["graph"]
    inputs = [[t.name, t.dtype, t.shape, t.pixels] for t in facts.tensors]
    return sha256_json([fingerprint(facts, categories, arrays), {**graph, "name": ""}, inputs])
