"""Preprocessing as an ONNX graph: scikit-learn fits it, we write it, and models are trained on the graph's own output.

So training and serving cannot differ: the bytes that prepared the training rows are the bytes that serve. What
scikit-learn itself makes of the rows (`Preprocess.reference`) is there to check the graph, and for nothing else.

Inputs: one for each used column, named by `runtime.graph_input_name` (the column's own name but for a few reserved
ones): double (rows, 1) for numbers and booleans, string (rows, 1) for categories. Outputs: FEATURES float32 (rows, n),
n at least 1, and CODES int64 (rows, m) where `encode: embed` met at least one category column.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.runtime import Session, graph_input_name
from autoopt.space.recipe import Recipe
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import CODES, FEATURES, Features
from autoopt.strategies.tables.encode import Encode, Encoding, fit_encode
from autoopt.strategies.tables.impute import Imputation, Impute, fit_impute
from autoopt.strategies.tables.reduce import Reduce, Reduction, fit_reduce
from autoopt.strategies.tables.scale import Scale, Scaling, fit_scale
from autoopt.task.facts import TaskFacts

_BATCH_ROWS = 8192  # one-hot columns of many rows at once would take gigabytes in between

Target = NDArray[np.int64] | NDArray[np.float64]


class Rows(Protocol):
    """The part of a task's split that preprocessing reads; columns in the order of the facts."""

    @property
    def numbers(self) -> NDArray[np.float64]:
        """(rows, k), NaN where missing."""

    @property
    def categories(self) -> NDArray[np.object_]:
        """(rows, m) of str, '' where missing."""


@final
@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """A fitted preprocessing. `graph` is all that is kept of it; the rest serves the stage that fitted it."""

    graph: onnx.ModelProto
    facts: TaskFacts
    feature_names: tuple[str, ...]
    cardinalities: tuple[int, ...]
    fitted: "_Fitted"
    training_columns: tuple[int, ...] = ()  # features that training rows get from cross-fitting
    training_values: NDArray[np.float32] | None = None  # (training rows, len(training_columns))

    def transform(self, part: Rows) -> Features:
        """The graph's output for these rows: what models train on and are judged by."""
        session = Session(self.graph.SerializeToString())
        rows = len(part.numbers)
        numbers = np.empty((rows, len(self.feature_names)), dtype=np.float32)
        codes = np.empty((rows, len(self.cardinalities)), dtype=np.int64)
        feed = graph_feed(self.facts, part)
        for at in range(0, rows, _BATCH_ROWS):
            batch = slice(at, at + _BATCH_ROWS)
            found = session.run_all({name: values[batch] for name, values in feed.items()})
            numbers[batch] = found[FEATURES]
            if self.cardinalities:
                codes[batch] = found[CODES]
        return Features(numbers=numbers, codes=codes, cardinalities=self.cardinalities)

    def train_features(self, graph_output: Features) -> Features:
        """What the model learns from: the graph's output for the training part, in the order it was fitted on.

        With `encode: target` the columns that hold target means are replaced by cross-fitted ones. Raises ValueError
        when the rows are not as many as those it was fitted on.
        """
        if self.training_values is None:
            return graph_output
        if graph_output.rows != len(self.training_values):
            raise ValueError(f"{graph_output.rows} rows; the preprocessing was fitted on {len(self.training_values)}")
        numbers = graph_output.numbers.copy()
        numbers[:, list(self.training_columns)] = self.training_values
        return replace(graph_output, numbers=numbers)

    def reference(self, part: Rows) -> Features:
        """The same rows by the scikit-learn estimators: what the graph has to agree with."""
        numbers = self.fitted.features(part)
        if self.fitted.reduction is not None:
            numbers = self.fitted.reduction.reference(numbers)
        return Features(numbers=numbers, codes=self.fitted.codes(part), cardinalities=self.cardinalities)


def graph_feed(facts: TaskFacts, part: Rows) -> dict[str, NDArray[Any]]:
    """Rows as the graph's inputs: double and string (rows, 1) by input name."""
    numbers = {graph_input_name(c): part.numbers[:, j : j + 1] for j, c in enumerate(facts.number_columns)}
    texts = {graph_input_name(c): part.categories[:, j : j + 1] for j, c in enumerate(facts.category_columns)}
    return {**numbers, **texts}


def fit_preprocess(part: Rows, facts: TaskFacts, recipe: Recipe, target: Target, *, seed: int = 0) -> Preprocess:
    """Fit on the training part, target int64 classes or float64 values (rows,), and write the graph.

    Dimensions that the recipe leaves out keep their defaults. The seed draws the folds of `encode: target` and the
    start of randomized projections.
    """
    fitted, crossfit = _fit(part, facts, recipe, target, seed)
    names = fitted.names(facts)
    columns: tuple[int, ...] = ()
    if crossfit is not None:
        columns = tuple(range(len(names) - crossfit.shape[1], len(names)))
    config = Reduce.from_recipe(recipe)
    if config.reduce != "none":
        features = fitted.features(part)
        if crossfit is not None:
            features[:, list(columns)] = crossfit
        reduction = fit_reduce(config, features, holes=fitted.holes, seed=seed)
        fitted = replace(fitted, reduction=reduction)
        if reduction is not None:
            names = tuple(f"component {i + 1}" for i in range(reduction.count))
            if crossfit is not None:
                crossfit, columns = reduction.reference(features), tuple(range(reduction.count))
    return Preprocess(
        graph=_emit(fitted, facts, names),
        facts=facts,
        feature_names=names,
        cardinalities=fitted.encoding.cardinalities if fitted.encoding else (),
        fitted=fitted,
        training_columns=columns,
        training_values=crossfit,
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """The estimators. Features are: numbers, indicators of gaps, encoded categories, in this order."""

    imputation: Imputation | None  # None together with scaling: no number columns
    scaling: Scaling | None
    encoding: Encoding | None  # None: no category columns
    reduction: Reduction | None = None

    @property
    def holes(self) -> bool:
        """Whether NaN can be among the features."""
        return self.imputation is not None and self.imputation.imputer is None

    @property
    def empty(self) -> bool:
        """Whether nothing but codes would come out; FEATURES is one column of zeros then."""
        return self.imputation is None and (self.encoding is None or not self.encoding.names)

    def names(self, facts: TaskFacts) -> tuple[str, ...]:
        numbers = facts.number_columns
        gaps = self.imputation.gaps if self.imputation else ()
        encoded = self.encoding.names if self.encoding else ()
        return (*numbers, *(f"{numbers[g]}: missing" for g in gaps), *encoded) or ("nothing",)

    def features(self, part: Rows) -> NDArray[np.float32]:
        """Features before the projection (rows, n)."""
        found: list[NDArray[np.float32]] = []
        if self.imputation is not None and self.scaling is not None:
            found.append(self.scaling.reference(self.imputation.reference(part.numbers)))
            found.append(self.imputation.indicators(part.numbers))
        if self.encoding is not None and self.encoding.names:
            found.append(self.encoding.reference(part.categories).astype(np.float32))
        return np.concatenate(found, axis=1) if found else np.zeros((len(part.categories), 1), dtype=np.float32)

    def codes(self, part: Rows) -> NDArray[np.int64]:
        if self.encoding is None or self.encoding.names:
            return np.zeros((len(part.numbers), 0), dtype=np.int64)
        return self.encoding.reference(part.categories).astype(np.int64)


def _fit(
    part: Rows, facts: TaskFacts, recipe: Recipe, target: Target, seed: int
) -> tuple[_Fitted, NDArray[np.float32] | None]:
    """Everything but the projection, and the cross-fitted columns of `encode: target`."""
    imputation, scaling, encoding = None, None, None
    if facts.number_columns:
        imputation = fit_impute(Impute.from_recipe(recipe), part.numbers)
        scaling = fit_scale(Scale.from_recipe(recipe), imputation.reference(part.numbers))
    if facts.category_columns:
        encoding = fit_encode(Encode.from_recipe(recipe), part.categories, facts, target, seed)
    crossfit = encoding.training_values if encoding else None
    fitted = _Fitted(imputation=imputation, scaling=scaling, encoding=encoding)
    return fitted, None if crossfit is None else crossfit.astype(np.float32)


def _emit(fitted: _Fitted, facts: TaskFacts, names: tuple[str, ...]) -> onnx.ModelProto:
    graph = GraphBuilder("preprocess")
    numbers = [graph.input(graph_input_name(c), np.float64, ("rows", 1)) for c in facts.number_columns]
    texts = [graph.input(graph_input_name(c), str, ("rows", 1)) for c in facts.category_columns]
    parts: list[str] = []
    if fitted.imputation is not None and fitted.scaling is not None:
        filled, indicators = fitted.imputation.emit(graph, _side_by_side(graph, numbers))
        parts.append(fitted.scaling.emit(graph, filled))
        parts += [indicators] if indicators else []
    encoded = fitted.encoding.emit(graph, texts) if fitted.encoding else ()
    cardinalities = fitted.encoding.cardinalities if fitted.encoding else ()
    if fitted.empty:
        parts.append(graph.add("Mul", graph.add("Cast", encoded[0], to=1), graph.constant(0.0, np.float32)))
    elif not cardinalities:
        parts += encoded
    features = _side_by_side(graph, parts)
    if fitted.reduction is not None:
        features = fitted.reduction.emit(graph, features)
    codes = _side_by_side(graph, list(encoded)) if cardinalities else ""
    graph.output(FEATURES, features, np.float32, ("rows", len(names)))
    if cardinalities:
        graph.output(CODES, codes, np.int64, ("rows", len(cardinalities)))
    return graph.build()


def _side_by_side(graph: GraphBuilder, values: list[str]) -> str:
    return graph.add("Concat", *values, axis=1) if len(values) > 1 else values[0]
