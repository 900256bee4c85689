"""n-grams of texts: which ones count, the graph that counts them, and what it makes of many rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import FEATURES
from autoopt.strategies.text.ngrams import SPANS, NGrams
from autoopt.strategies.text.text_clean import TextClean
from autoopt.strategies.text.tokenizer import (
    PADDING,
    UNKNOWN,
    Splitter,
    Texts,
    emit_numbers,
    most_frequent,
    text_batches,
    without_last,
)
from autoopt.task.facts import TaskFacts
from autoopt.values import FailureReason

if TYPE_CHECKING:
    import scipy.sparse

Grams = NDArray[np.int64]
"""(n-grams, n): token numbers of n-grams of one length."""

_NUMBERS: Final = "numbers"
_DENSE_BYTES: Final = 32 << 20  # of one batch of dense rows
_MOST_TOKENS: Final = {"words": 1_000_000, "characters": 2_000}
"""That have a number while n-grams are counted: the longest n-gram, 3 or 5 of them, still fits into one int64."""


@final
@dataclass(frozen=True, kw_only=True)
class Counting:
    """A fitted counting of n-grams. `graph` is all that is kept of it."""

    graph: onnx.ModelProto
    features: int
    splitter: Splitter

    def transform(self, texts: Texts) -> "scipy.sparse.csr_array":
        """The graph's output for these rows, float32 (rows, features): what models train on and are judged by."""
        import scipy.sparse

        session = Session(self.graph.SerializeToString())
        most = max(1, _DENSE_BYTES // (4 * self.features))
        values, columns = [np.zeros(0, dtype=np.float32)], [np.zeros(0, dtype=np.int32)]
        filled = [np.zeros(1, dtype=np.int64)]
        for rows in text_batches(texts, most_rows=most):
            dense = session.run_all(self.splitter.feed(texts[rows]))[FEATURES]
            at = np.flatnonzero(dense)
            values.append(dense.ravel()[at])
            columns.append((at % self.features).astype(np.int32))
            filled.append(np.bincount(at // self.features, minlength=len(dense)))
        arrays = np.concatenate(values), np.concatenate(columns), np.cumsum(np.concatenate(filled))
        return scipy.sparse.csr_array(arrays, shape=(len(texts), self.features))


def fit_counting(texts: Texts, facts: TaskFacts, clean: TextClean, config: NGrams) -> Counting:
    """Fit on the training texts (rows, t), and write the graph. Raises StageFailure when no n-gram is left to count."""
    unit, shortest, longest = SPANS[config.span]
    splitter = Splitter.of(facts, clean, unit)
    counts, _ = splitter.frequencies(texts)
    least = min(config.min_count, max(len(texts) // 2, 1))
    words = most_frequent(counts, least=least, most=_MOST_TOKENS[unit])
    grams, rows_with = _chosen(texts, splitter, words, range(shortest, longest + 1), least, config.most)
    if not len(rows_with):
        message = (
            f"No n-gram is in {least} training texts or more: ngrams {config.span} of {clean.characters} finds none."
        )
        raise StageFailure(FailureReason.ERROR, message)
    words, grams = _without_unused(words, [g for g in grams if len(g)])
    weights = np.log((1 + len(texts)) / (1 + rows_with)) + 1 if config.idf else np.ones(len(rows_with))
    graph = _emit(splitter, words, grams, weights, sublinear=config.sublinear)
    return Counting(graph=graph, features=len(rows_with), splitter=splitter)


def _chosen(
    texts: Texts, splitter: Splitter, words: Sequence[str], spans: Sequence[int], least: int, most: int
) -> tuple[list[Grams], NDArray[np.int64]]:
    """n-grams of each length in turn, and the rows that each is in: those of the most rows, equal ones in order."""
    base = len(words) + 2
    found = {n: _Tally() for n in spans}
    for numbers in _numbers(texts, splitter, words):
        for n, tally in found.items():
            tally.add(_keys(numbers, n, base, lowest=PADDING if splitter.unit == "characters" else UNKNOWN))
    tallies = [tally.total(least) for tally in found.values()]
    rows_with = np.concatenate([counts for _, counts in tallies])
    order = np.argsort(-rows_with, kind="stable")[:most]
    keep = np.zeros(len(rows_with), dtype=bool)
    keep[order] = True
    ends = np.cumsum([len(counts) for _, counts in tallies])[:-1]
    grams = [
        _tokens_of(keys[kept], n, base) for n, (keys, _), kept in zip(spans, tallies, np.split(keep, ends), strict=True)
    ]
    return grams, rows_with[keep]


@final
class _Tally:
    """Counts of keys over many batches."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, dtype=np.int64)
        self._counts = np.zeros(0, dtype=np.int64)

    def add(self, keys: NDArray[np.int64]) -> None:
        different, counts = np.unique(keys, return_counts=True)
        merged, at = np.unique(np.concatenate([self._keys, different]), return_inverse=True)
        total = np.zeros(len(merged), dtype=np.int64)
        np.add.at(total, at, np.concatenate([self._counts, counts]))
        self._keys, self._counts = merged, total

    def total(self, least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(keys of `least` rows or more, the rows of each)."""
        kept = self._counts >= least
        return self._keys[kept], self._counts[kept]


def _numbers(texts: Texts, splitter: Splitter, words: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Token numbers (rows, tokens), batch by batch."""
    graph = GraphBuilder("numbers")
    numbers = without_last(graph, emit_numbers(graph, splitter.emit(graph), words))
    graph.output(_NUMBERS, numbers, np.int64, ("rows", "tokens"))
    session = Session(graph.build().SerializeToString())
    for rows in text_batches(texts):
        yield session.run_all(splitter.feed(texts[rows]))[_NUMBERS]


def _keys(numbers: NDArray[np.int64], n: int, base: int, *, lowest: int) -> NDArray[np.int64]:
    """One number for each n-gram of tokens above `lowest`, once for each row that it is in."""
    width = numbers.shape[1] - n + 1
    if width < 1:
        return np.zeros(0, dtype=np.int64)
    keys = np.zeros((len(numbers), width), dtype=np.int64)
    whole = np.ones((len(numbers), width), dtype=bool)
    for k in range(n):
        token = numbers[:, k : k + width]
        keys = keys * base + token
        whole &= token > lowest
    keys = np.sort(np.where(whole, keys, -1), axis=1)
    first = keys >= 0
    first[:, 1:] &= keys[:, 1:] != keys[:, :-1]
    return keys[first]


def _tokens_of(keys: NDArray[np.int64], n: int, base: int) -> Grams:
    """The token numbers behind `_keys`."""
    return np.stack([keys // base**k % base for k in range(n - 1, -1, -1)], axis=1)


def _without_unused(words: Sequence[str], grams: Sequence[Grams]) -> tuple[tuple[str, ...], list[Grams]]:
    """The words that are in an n-gram, and the n-grams by their new numbers."""
    used = np.unique(np.concatenate([g.ravel() for g in grams]))
    used = used[used > UNKNOWN]
    table = np.arange(len(words) + 2)
    table[used] = np.arange(2, len(used) + 2)
    return tuple(words[k - 2] for k in used), [table[g] for g in grams]


def _emit(
    splitter: Splitter, words: Sequence[str], grams: Sequence[Grams], weights: NDArray[np.float64], *, sublinear: bool
) -> onnx.ModelProto:
    graph = GraphBuilder("ngrams")
    numbers = emit_numbers(graph, splitter.emit(graph), words)
    lengths = [g.shape[1] for g in grams]
    sizes = {g.shape[1]: g.size for g in grams}
    starts = np.cumsum([0, *(sizes.get(n, 0) for n in range(1, max(lengths)))])
    counts = graph.add(
        "TfIdfVectorizer",
        numbers,
        mode="TF",
        min_gram_length=min(lengths),
        max_gram_length=max(lengths),
        max_skip_count=0,
        ngram_counts=[int(s) for s in starts],
        ngram_indexes=list(range(len(weights))),
        pool_int64s=np.concatenate([g.ravel() for g in grams]).tolist(),
    )
    rows = graph.add("Shape", splitter.inputs[0], start=0, end=1)
    features = _weighted(graph, counts, rows, weights, sublinear=sublinear)
    graph.output(FEATURES, features, np.float32, ("rows", len(weights)))
    return graph.build()


def _weighted(graph: GraphBuilder, counts: str, rows: str, weights: NDArray[np.float64], *, sublinear: bool) -> str:
    """Counts (rows + 1, n) as weights in rows of length 1, float32 (rows, n).

    Only the few counts above 0 are computed with: over all of them, each operator would cost as much as the counting.
    The last row has none, and so is left out.
    """
    at = graph.add("NonZero", counts)  # (2, counts above 0)
    pairs = graph.add("Transpose", at)
    row, column = (graph.add("Gather", at, graph.constant(k, np.int64), axis=0) for k in (0, 1))
    value = graph.add("GatherND", counts, pairs)
    if sublinear:
        value = graph.add("Add", graph.add("Log", value), graph.constant(1.0, np.float32))
    if (weights != 1).any():
        idf = graph.constant(weights, np.float32, name="idf")
        value = graph.add("Mul", value, graph.add("Gather", idf, column))
    squares = graph.add("Mul", value, value)
    lengths = graph.add("ScatterElements", graph.add("ConstantOfShape", rows), row, squares, reduction="add")
    value = graph.add("Div", value, graph.add("Gather", graph.add("Sqrt", lengths), row))
    size = graph.add("Concat", rows, graph.constant([len(weights)], np.int64), axis=0)
    return graph.add("ScatterND", graph.add("ConstantOfShape", size), pairs, value)
