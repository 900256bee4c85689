"""On any messy table, seen or unseen, the graph gives what the estimators give, and always finite numbers."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_preprocess import Table, assert_same, facts_of

from autoopt.space.recipe import Recipe
from autoopt.strategies.tables.preprocess import fit_preprocess
from autoopt.task.facts import Kind

CELL = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 1.0, 7.0, 1e-9, 1e15, 1e15 + 1]),
    st.integers(-(2**53), 2**53).map(float),
    st.floats(-1e6, 1e6),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXT = st.one_of(
    st.just(""),
    st.sampled_from(["a", "b", "A", " a", "é", "e\u0301", "-1", "other", "\U0001f600"]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
)
NAMES = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6), unique=True, min_size=5, max_size=5
)
RECIPES = st.fixed_dictionaries(
    {
        "impute": st.sampled_from(["median", "mean", "most_frequent", "native"]),
        "impute.indicator": st.booleans(),
        "scale": st.sampled_from(["standard", "none", "minmax", "robust", "log_standard"]),
        "encode": st.sampled_from(["ordinal", "onehot", "target", "embed"]),
        "encode.min_count": st.integers(1, 4),
        "encode.max_categories": st.integers(2, 6),
    }
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Table, tuple[str, ...], tuple[str, ...]]:
    """Training rows, later rows, and the names of number and category columns, at least one in all."""
    numbers = draw(st.integers(0, 3))
    categories = draw(st.integers(0 if numbers else 1, 2))
    rows, later = draw(st.integers(6, 20)), draw(st.integers(1, 6))

    def part(count: int) -> Table:
        cells = draw(st.lists(CELL, min_size=count * numbers, max_size=count * numbers))
        texts = draw(st.lists(TEXT, min_size=count * categories, max_size=count * categories))
        held = np.empty(count * categories, dtype=object)
        held[:] = texts
        return Table(
            numbers=np.array(cells, dtype=np.float64).reshape(count, numbers),
            categories=held.reshape(count, categories),
        )

    names = draw(NAMES)
    return part(rows), part(later), tuple(names[:numbers]), tuple(names[numbers : numbers + categories])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables(), RECIPES, st.sampled_from(list(Kind)))
def test_graph_is_the_reference_on_any_table(
    case: tuple[Table, Table, tuple[str, ...], tuple[str, ...]], recipe: dict[str, object], kind: Kind
) -> None:
    train, later, numbers, categories = case
    rows = len(train.numbers)
    target = np.linspace(-1e6, 1e6, rows) if kind is Kind.REGRESSION else np.arange(rows) % (kind.value.count("m") + 2)
    found = fit_preprocess(train, facts_of(numbers, categories, kind, classes=3), Recipe(recipe), target)  # type: ignore[arg-type]
    for part in (train, later):
        features = found.transform(part)
        assert_same(features, found.reference(part))
        assert not np.isinf(features.numbers).any()
        assert recipe["impute"] == "native" or not np.isnan(features.numbers).any()
        assert features.numbers.shape == (len(part.numbers), len(found.feature_names))
    assert np.isfinite(found.train_features(found.transform(train)).numbers).all() or recipe["impute"] == "native"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables(), RECIPES, st.sampled_from(["pca", "truncated_svd"]), st.floats(0.1, 1.0))
def test_projections_are_the_reference_relative_to_the_row(
    case: tuple[Table, Table, tuple[str, ...], tuple[str, ...]], recipe: dict[str, object], reduce: str, share: float
) -> None:
    train, later, numbers, categories = case
    chosen = Recipe({**recipe, "reduce": reduce, "reduce.share": share})  # type: ignore[dict-item]
    target = np.arange(len(train.numbers)) % 2
    found = fit_preprocess(train, facts_of(numbers, categories), chosen, target)
    plain = fit_preprocess(train, facts_of(numbers, categories), chosen.replace({"reduce": "none"}), target)
    for part in (train, later):
        features, expected = found.transform(part).numbers, found.reference(part).numbers
        before = np.nan_to_num(plain.transform(part).numbers.astype(np.float64))
        means = np.nan_to_num(plain.transform(train).numbers.astype(np.float64))
        size = 1.0 + np.abs(before).max(axis=1, keepdims=True) + np.abs(means).max()
        same_holes = np.isnan(features) == np.isnan(expected)
        assert same_holes.all()
        assert (np.abs(np.nan_to_num(features) - np.nan_to_num(expected)) <= 1e-6 * size).all()
