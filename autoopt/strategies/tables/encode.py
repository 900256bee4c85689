"""Turn text categories into numbers, or into codes for embeddings."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.space.domains import Value
from autoopt.strategies.base import Stage, Strategy, choice, whole
from autoopt.strategies.graph import GraphBuilder
from autoopt.task.facts import Kind, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:
    from sklearn.model_selection import KFold, StratifiedKFold

MISSING = ""
_FOLDS = 5

Categories = NDArray[np.object_]
"""Texts (rows, m), '' where missing."""


@final
@dataclass(frozen=True, kw_only=True)
class Encode(Strategy):
    """How text categories become numbers.

    What: `ordinal` gives codes by falling frequency, unseen values -1. `onehot` gives a column for each value; values
    rarer than `min_count` rows, or beyond the `max_categories` most frequent, share one column "other", and so do
    unseen ones. `target` gives the smoothed mean of the target for each value (for several classes: one column a
    class; a regression target is standardized first); training rows get it from folds that they are not in, so that
    it does not leak. `embed` gives whole-number codes for the embeddings of a network: 0 is missing, rare or unseen.
    Missing text is a category of its own throughout, save for `embed`.
    Helps: `ordinal` for trees, `onehot` for linear models and few values, `target` for many values, `embed` for
    networks.
    Ranges: min_count 1..1000 rows, max_categories 2..1000 values a column. Units: rows, values.
    Reference: Micci-Barreca 2001 (target); Guo & Berkhahn 2016, arXiv:1604.06737 (embeddings).
    """

    name: ClassVar[str] = "encode"
    stage: ClassVar[Stage] = "prepare"
    field_when: ClassVar[Mapping[str, Mapping[str, tuple[Value, ...]]]] = {
        "min_count": {"encode": ("onehot", "embed")},
        "max_categories": {"encode": ("onehot", "embed")},
    }

    encode: str = choice("ordinal", "onehot", "target", "embed", main=True, help="encoding of text categories")
    min_count: int = whole(5, low=1, high=1000, log=True, help="rows that a value needs to count as itself")
    max_categories: int = whole(100, low=2, high=1000, log=True, help="values of a column that count as themselves")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.category_columns else "the data have no category column"


class Encoding(ABC):
    """A fitted encoding of m category columns, m at least 1."""

    names: tuple[str, ...] = ()
    """Names of the feature columns; empty for codes."""
    cardinalities: tuple[int, ...] = ()
    """For codes: how many there are in each column, 0 included."""
    training_values: NDArray[np.float64] | None = None
    """(rows, len(names)): what the training rows get in place of the graph's output, to keep the target out."""

    @abstractmethod
    def reference(self, categories: Categories) -> NDArray[np.float64]:
        """Feature columns (rows, len(names)), or codes (rows, m), by scikit-learn where it has them."""

    @abstractmethod
    def emit(self, graph: GraphBuilder, inputs: Sequence[str]) -> tuple[str, ...]:
        """Names of the encoded columns, to be put side by side: float32, or int64 for codes; string (rows, 1) in."""


def fit_encode(
    config: Encode,
    categories: Categories,
    facts: TaskFacts,
    target: NDArray[np.int64] | NDArray[np.float64],
    seed: int,
) -> Encoding:
    """Fit on the training part: categories (rows, m), m at least 1, target (rows,)."""
    columns = facts.category_columns
    if config.encode == "target":
        return _TargetEncoding(columns, categories, target, facts.kind, seed)
    counts = [_by_frequency(categories[:, j]) for j in range(len(columns))]
    if config.encode == "ordinal":
        return _OrdinalEncoding(columns, counts)
    if config.encode == "onehot":
        return _OneHotEncoding(columns, [_frequent(c, config) for c in counts], [len(c) for c in counts])
    return _EmbedEncoding([_frequent({k: n for k, n in c.items() if k != MISSING}, config) for c in counts])


@final
class _OrdinalEncoding(Encoding):
    """Rank by frequency; missing has a rank even where training had no gap."""

    def __init__(self, columns: tuple[str, ...], counts: Sequence[Mapping[str, int]]) -> None:
        self.names = columns
        self._keys = [list(c) if MISSING in c else [*c, MISSING] for c in counts]
        categories = [_texts(k) for k in self._keys]
        from sklearn.preprocessing import OrdinalEncoder  # here: the catalogue is read by processes that fit nothing

        self._encoder = OrdinalEncoder(
            categories=categories, handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float64
        ).fit(np.array([[k[0] for k in self._keys]], dtype=object))

    def reference(self, categories: Categories) -> NDArray[np.float64]:
        codes: NDArray[np.float64] = self._encoder.transform(categories)
        return codes

    def emit(self, graph: GraphBuilder, inputs: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            _labels(graph, i, k, values_floats=[float(v) for v in range(len(k))], default_float=-1.0)
            for i, k in zip(inputs, self._keys, strict=True)
        )


@final
class _OneHotEncoding(Encoding):
    """Codes first, then one comparison with all columns at once: cheaper at batch 1 than a node for each column."""

    def __init__(self, columns: tuple[str, ...], keys: Sequence[Sequence[str]], seen: Sequence[int]) -> None:
        self._keys = keys
        others = [len(k) < n for k, n in zip(keys, seen, strict=True)]
        self._widths = [len(k) + other for k, other in zip(keys, others, strict=True)]
        self.names = tuple(
            name
            for column, k, other in zip(columns, keys, others, strict=True)
            for name in (*(f"{column}={v or '(missing)'}" for v in k), *((f"{column}: other",) if other else ()))
        )
        from sklearn.preprocessing import OneHotEncoder  # here: the catalogue is read by processes that fit nothing

        self._encoder = OneHotEncoder(
            categories=[np.arange(w) for w in self._widths],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=np.float64,
        ).fit(np.zeros((1, len(keys)), dtype=np.int64))

    def reference(self, categories: Categories) -> NDArray[np.float64]:
        hot: NDArray[np.float64] = self._encoder.transform(_codes(categories, self._keys, first=0, rest=None))
        return hot

    def emit(self, graph: GraphBuilder, inputs: Sequence[str]) -> tuple[str, ...]:
        codes = [
            _labels(graph, i, k, values_int64s=list(range(len(k))), default_int64=len(k))
            for i, k in zip(inputs, self._keys, strict=True)
        ]
        spread = codes[0]
        if len(codes) > 1:
            owners = np.repeat(np.arange(len(codes)), self._widths)
            together = graph.add("Concat", *codes, axis=1)
            spread = graph.add("Gather", together, graph.constant(owners, np.int64, name="owners"), axis=1)
        wanted = np.concatenate([np.arange(w) for w in self._widths])[None, :]
        return (graph.add("Cast", graph.add("Equal", spread, graph.constant(wanted, np.int64, name="wanted")), to=1),)


@final
class _EmbedEncoding(Encoding):
    """Codes 1.. by frequency, 0 for everything else."""

    def __init__(self, keys: Sequence[Sequence[str]]) -> None:
        self._keys = keys
        self.cardinalities = tuple(len(k) + 1 for k in keys)

    def reference(self, categories: Categories) -> NDArray[np.float64]:
        return _codes(categories, self._keys, first=1, rest=0).astype(np.float64)

    def emit(self, graph: GraphBuilder, inputs: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            _labels(graph, i, k, values_int64s=list(range(1, len(k) + 1)), default_int64=0)
            for i, k in zip(inputs, self._keys, strict=True)
        )


@final
class _TargetEncoding(Encoding):
    """Smoothed target means, cross-fitted for the rows they were learned from."""

    def __init__(
        self,
        columns: tuple[str, ...],
        categories: Categories,
        target: NDArray[np.int64] | NDArray[np.float64],
        kind: Kind,
        seed: int,
    ) -> None:
        self._outputs = 1
        classes = np.unique(target) if kind.classifies else np.empty(0)
        target_type = "continuous" if not kind.classifies else "multiclass" if len(classes) > 2 else "binary"
        wanted = target if kind.classifies else _standardized(np.asarray(target, dtype=np.float64))
        from sklearn.preprocessing import TargetEncoder  # here: the catalogue is read by processes that fit nothing

        self._encoder = TargetEncoder(target_type=target_type, cv=_folds(wanted, kind, seed))
        self.training_values = np.asarray(self._encoder.fit_transform(categories, wanted), dtype=np.float64)
        self.names = columns
        if target_type == "multiclass":
            self._outputs = len(classes)
            labels = [facts_label for facts_label in classes]
            self.names = tuple(f"{c}~{label}" for c in columns for label in labels)

    def reference(self, categories: Categories) -> NDArray[np.float64]:
        means: NDArray[np.float64] = self._encoder.transform(categories)
        return means

    def emit(self, graph: GraphBuilder, inputs: Sequence[str]) -> tuple[str, ...]:
        keys = [[str(v) for v in c] for c in self._encoder.categories_]
        means = np.asarray(self._encoder.target_mean_, dtype=np.float32).reshape(-1)
        if self._outputs == 1:
            return tuple(
                _labels(graph, i, k, values_floats=[float(v) for v in e], default_float=float(means[0]))
                for i, k, e in zip(inputs, keys, self._encoder.encodings_, strict=True)
            )
        return (self._emit_table(graph, inputs, keys, means),)

    def _emit_table(
        self, graph: GraphBuilder, inputs: Sequence[str], keys: list[list[str]], means: NDArray[np.float32]
    ) -> str:
        """Row numbers into one table (values of all columns and one row of means, classes), then flat."""
        starts = np.cumsum([0, *(len(k) for k in keys)])
        unseen = int(starts[-1])
        rows = [
            _labels(graph, i, k, values_int64s=list(range(start, start + len(k))), default_int64=unseen)
            for i, k, start in zip(inputs, keys, starts.tolist(), strict=False)
        ]
        encodings = self._encoder.encodings_
        columns = [np.stack(encodings[j * self._outputs : (j + 1) * self._outputs], axis=1) for j in range(len(keys))]
        table = np.concatenate([*columns, means[None, :]]).astype(np.float32)
        together = graph.add("Concat", *rows, axis=1) if len(rows) > 1 else rows[0]
        found = graph.add("Gather", graph.constant(table, name="means"), together, axis=0)
        return graph.add("Flatten", found, axis=1)


def _by_frequency(column: NDArray[np.object_]) -> dict[str, int]:
    """Rows of each value, the most frequent first, equals in the order of their text."""
    return dict(sorted(Counter(column.tolist()).items(), key=lambda item: (-item[1], item[0])))


def _frequent(counts: Mapping[str, int], config: Encode) -> list[str]:
    """Values that count as themselves; missing does however rare it is."""
    kept = [v for v, n in counts.items() if n >= config.min_count or v == MISSING]
    return [v for rank, v in enumerate(kept) if rank < config.max_categories or v == MISSING]


def _codes(categories: Categories, keys: Sequence[Sequence[str]], *, first: int, rest: int | None) -> NDArray[np.int64]:
    """Codes (rows, m): `first`.. for the keys of each column, `rest` (None: the number of keys) for other values."""
    codes = np.empty(categories.shape, dtype=np.int64)
    for j, k in enumerate(keys):
        known = {v: first + rank for rank, v in enumerate(k)}
        default = len(k) if rest is None else rest
        codes[:, j] = [known.get(v, default) for v in categories[:, j].tolist()]
    return codes


def _texts(values: Sequence[str]) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def _labels(graph: GraphBuilder, value: str, keys: Sequence[str], **attributes: Any) -> str:
    """A LabelEncoder node; one without keys is not allowed, so it gets a key that maps to the default."""
    if not keys:
        kind = "int64" if "default_int64" in attributes else "float"
        attributes |= {f"values_{kind}s": [attributes[f"default_{kind}"]]}
        keys = [MISSING]
    return graph.ml("LabelEncoder", value, keys_strings=list(keys), **attributes)


def _folds(target: NDArray[Any], kind: Kind, seed: int) -> "KFold | StratifiedKFold":
    """Stratified where every class has a row for each fold, else plain."""
    # here: the catalogue is read by processes that fit nothing
    from sklearn.model_selection import KFold, StratifiedKFold

    fewest = int(np.unique(target, return_counts=True)[1].min()) if kind.classifies else 0
    if fewest >= 2:
        return StratifiedKFold(n_splits=min(_FOLDS, fewest), shuffle=True, random_state=seed)
    return KFold(n_splits=min(_FOLDS, len(target)), shuffle=True, random_state=seed)


def _standardized(target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0, deviation 1; shrunk first, so that huge values do not overflow."""
    shrunk = target / (np.abs(target).max() or 1.0)
    spread = float(shrunk.std())
    standardized: NDArray[np.float64] = (shrunk - shrunk.mean()) / (spread or 1.0)
    return standardized
