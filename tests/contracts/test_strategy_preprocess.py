"""Every preprocessing graph computes what scikit-learn computes, for every combination of choices."""

import itertools

import numpy as np
import onnxruntime
import pytest
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from support_preprocess import CATEGORIES, NUMBERS, Table, assert_same, facts_of, messy_table, target_of

from autoopt.space.recipe import Recipe
from autoopt.strategies.model import CODES, FEATURES, IR_VERSION
from autoopt.strategies.tables.encode import Encode
from autoopt.strategies.tables.impute import Impute
from autoopt.strategies.tables.preprocess import Preprocess, fit_preprocess
from autoopt.strategies.tables.reduce import Reduce
from autoopt.strategies.tables.scale import Scale
from autoopt.task.facts import Kind
from autoopt.values import Slot

IMPUTE = ("median", "mean", "most_frequent", "native")
SCALE = ("standard", "none", "minmax", "robust", "log_standard")
ENCODE = ("ordinal", "onehot", "target", "embed")
REDUCE = ("none", "pca", "truncated_svd")
TRAIN, LATER = messy_table(300, seed=1), messy_table(120, seed=2)


def fit(recipe: dict[str, object], kind: Kind = Kind.BINARY, train: Table = TRAIN) -> Preprocess:
    facts = facts_of(NUMBERS, CATEGORIES, kind, classes=3 if kind is Kind.MULTICLASS else 2)
    return fit_preprocess(train, facts, Recipe(recipe), target_of(kind, len(train.numbers), 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize("encode", ENCODE)
@pytest.mark.parametrize("impute", IMPUTE)
@pytest.mark.parametrize("indicator", [False, True])
def test_graph_is_the_reference(impute: str, indicator: bool, encode: str, reduce: str) -> None:
    for scale in SCALE:
        if scale == "none" and reduce != "none":
            continue  # a column of 1e15 beside ones of size 1: no projection can be exact, see below
        recipe = {"impute": impute, "impute.indicator": indicator, "scale": scale, "encode": encode, "reduce": reduce}
        found = fit(recipe)
        for part in (TRAIN, LATER):
            features = found.transform(part)
            assert_same(features, found.reference(part))
            assert features.numbers.shape == (len(part.numbers), len(found.feature_names))
            assert np.isnan(features.numbers).any() == (impute == "native" and reduce == "none")


def test_unscaled_projection_is_the_reference_relative_to_the_row() -> None:
    found = fit({"scale": "none", "reduce": "pca"})
    features, expected = found.transform(LATER).numbers, found.reference(LATER).numbers
    size = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(features - expected) <= 1e-6 * size).all()


@pytest.mark.parametrize("kind", list(Kind))
def test_target_encoding_of_each_kind(kind: Kind) -> None:
    found = fit({"encode": "target"}, kind)
    classes = 3 if kind is Kind.MULTICLASS else 1
    assert len(found.feature_names) == len(NUMBERS) + classes * len(CATEGORIES)
    assert_same(found.transform(LATER), found.reference(LATER))
    target = target_of(kind, len(TRAIN.numbers), 3)
    if kind is Kind.REGRESSION:
        target = (target - target.mean()) / target.std()
    kinds = {Kind.BINARY: "binary", Kind.MULTICLASS: "multiclass", Kind.REGRESSION: "continuous"}
    theirs = TargetEncoder(target_type=kinds[kind]).fit(TRAIN.categories, target).transform(LATER.categories)
    np.testing.assert_allclose(found.transform(LATER).numbers[:, len(NUMBERS) :], theirs, atol=1e-5)


@pytest.mark.parametrize("reduce", ["none", "pca"])
def test_training_rows_are_cross_fitted(reduce: str) -> None:
    """Every row a category of its own: the graph's own encoding would give the target away."""
    rows = 200
    ids = np.array([[f"id{i}"] for i in range(rows)], dtype=object)
    target = np.random.default_rng(0).integers(0, 2, rows)
    part = Table(numbers=np.random.default_rng(1).normal(size=(rows, 1)), categories=ids)
    recipe = Recipe({"encode": "target", "reduce": reduce, "reduce.share": 1.0})
    found = fit_preprocess(part, facts_of(("x",), ("id",)), recipe, target)
    output = found.transform(part)
    learned = found.train_features(output)
    leak = max(abs(np.corrcoef(output.numbers[:, j], target)[0, 1]) for j in range(2))
    kept = max(abs(np.corrcoef(learned.numbers[:, j], target)[0, 1]) for j in range(2))
    assert leak > 0.6
    assert kept < 0.4
    with pytest.raises(ValueError, match="200"):
        found.train_features(found.transform(Table(numbers=part.numbers[:5], categories=ids[:5])))


def test_other_encodings_train_on_the_graphs_output() -> None:
    found = fit({"encode": "onehot"})
    output = found.transform(TRAIN)
    assert found.train_features(output) is output


SANE = Table(numbers=np.delete(TRAIN.numbers, [1, 2], axis=1), categories=TRAIN.categories)
SANE_LATER = Table(numbers=np.delete(LATER.numbers, [1, 2], axis=1), categories=LATER.categories)
SCALERS = {
    "standard": StandardScaler(),
    "none": FunctionTransformer(),
    "minmax": MinMaxScaler(),
    "robust": RobustScaler(),
    "log_standard": make_pipeline(FunctionTransformer(lambda x: np.sign(x) * np.log1p(np.abs(x))), StandardScaler()),
}


@pytest.mark.parametrize("scale", SCALE)
@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
def test_numbers_are_scikit_learns_own_pipeline(impute: str, scale: str) -> None:
    recipe = Recipe({"impute": impute, "scale": scale})
    target = target_of(Kind.BINARY, len(SANE.numbers), 3)
    found = fit_preprocess(SANE, facts_of(("a", "b"), CATEGORIES), recipe, target)
    theirs = make_pipeline(SimpleImputer(strategy=impute), SCALERS[scale]).fit(SANE.numbers)
    expected = theirs.transform(SANE_LATER.numbers)
    np.testing.assert_allclose(found.transform(SANE_LATER).numbers[:, :2], expected, rtol=1e-5, atol=1e-5)


def test_projection_is_scikit_learns_own() -> None:
    found = fit({"reduce": "pca", "reduce.share": 0.5, "encode": "onehot"})
    plain = fit({"encode": "onehot"})
    before = plain.transform(TRAIN).numbers.astype(np.float64)
    theirs = PCA(n_components=round(0.5 * before.shape[1]), random_state=0).fit(before)
    expected = theirs.transform(plain.transform(LATER).numbers.astype(np.float64))
    np.testing.assert_allclose(found.transform(LATER).numbers, expected, atol=1e-4)


def test_onehot_is_scikit_learns_own_with_rare_and_unseen_values_together() -> None:
    part = Table(numbers=TRAIN.numbers, categories=np.where(TRAIN.categories == "", "none", TRAIN.categories))
    later = LATER.categories.copy()
    later[:5] = "never seen"
    found = fit({"encode": "onehot", "encode.min_count": 10}, train=part)
    ours = found.transform(Table(numbers=LATER.numbers, categories=later)).numbers[:, len(NUMBERS) :]
    theirs = OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist", sparse_output=False)
    expected = theirs.fit(part.categories).transform(later)
    names = theirs.get_feature_names_out(CATEGORIES).tolist()
    mine = [n.replace("=", "_").replace(": other", "_infrequent_sklearn") for n in found.feature_names[len(NUMBERS) :]]
    order = [names.index(n) for n in mine]
    np.testing.assert_array_equal(ours, expected[:, order])


def test_ordinal_is_rank_by_frequency() -> None:
    texts = [["b"], ["b"], ["b"], ["a"], ["a"], ["ü"]]
    train = Table(numbers=np.zeros((6, 0)), categories=np.array(texts, dtype=object))
    found = fit_preprocess(train, facts_of((), ("x",)), Recipe({"encode": "ordinal"}), np.array([0, 1] * 3))
    later = Table(numbers=np.zeros((5, 0)), categories=np.array([["b"], ["a"], ["ü"], [""], ["?"]], dtype=object))
    assert found.transform(later).numbers.ravel().tolist() == [0.0, 1.0, 2.0, 3.0, -1.0]
    theirs = OrdinalEncoder(categories=[["b", "a", "ü", ""]], handle_unknown="use_encoded_value", unknown_value=-1)
    assert theirs.fit_transform(later.categories).ravel().tolist() == [0.0, 1.0, 2.0, 3.0, -1.0]


def test_embed_gives_zero_to_missing_rare_and_unseen() -> None:
    texts = np.array([["b"]] * 5 + [["a"]] * 6 + [["rare"]] * 2 + [[""]] * 9, dtype=object)
    train = Table(numbers=np.zeros((22, 0)), categories=texts)
    recipe = Recipe({"encode": "embed", "encode.min_count": 5})
    found = fit_preprocess(train, facts_of((), ("x",)), recipe, np.arange(22) % 2)
    later = np.array([["a"], ["b"], ["rare"], [""], ["never"]], dtype=object)
    features = found.transform(Table(numbers=np.zeros((5, 0)), categories=later))
    assert features.codes.ravel().tolist() == [1, 2, 0, 0, 0]
    assert features.cardinalities == (3,)
    assert features.numbers.shape == (5, 1)
    assert not features.numbers.any()


def test_max_categories_keeps_the_most_frequent_and_missing() -> None:
    texts = np.array([[f"v{i}"] for i in range(10) for _ in range(20 - i)] + [[""]], dtype=object)
    train = Table(numbers=np.zeros((len(texts), 0)), categories=texts)
    recipe = Recipe({"encode": "onehot", "encode.max_categories": 3, "encode.min_count": 5})
    found = fit_preprocess(train, facts_of((), ("x",)), recipe, np.arange(len(texts)) % 2)
    assert found.feature_names == ("x=v0", "x=v1", "x=v2", "x=(missing)", "x: other")


@pytest.mark.parametrize("encode", ENCODE)
@pytest.mark.parametrize("numbers, categories", [(0, 1), (1, 0), (0, 3), (3, 0), (1, 1)])
def test_few_columns_and_few_rows(numbers: int, categories: int, encode: str) -> None:
    rows = 12
    texts = np.array([["x", "y", ""][i % 3] for i in range(rows * categories)], dtype=object).reshape(rows, categories)
    part = Table(numbers=np.arange(rows * numbers, dtype=float).reshape(rows, numbers), categories=texts)
    facts = facts_of(tuple(f"n{i}" for i in range(numbers)), tuple(f"c{i}" for i in range(categories)))
    for reduce, impute in itertools.product(REDUCE, ("median", "native")):
        recipe = Recipe({"encode": encode, "reduce": reduce, "impute": impute, "impute.indicator": True})
        found = fit_preprocess(part, facts, recipe, np.arange(rows) % 2)
        assert_same(found.transform(part), found.reference(part), 1e-5)
        outputs = {o.name for o in found.graph.graph.output}
        assert outputs == ({FEATURES, CODES} if encode == "embed" and categories else {FEATURES})
        one = Table(numbers=part.numbers[:1], categories=part.categories[:1])
        assert found.transform(one).numbers.shape == (1, len(found.feature_names))


@pytest.mark.parametrize("scale", SCALE[:1] + SCALE[2:])
def test_large_integers_keep_their_differences_and_constants_become_zero(scale: str) -> None:
    found = fit({"scale": scale})
    features = found.transform(TRAIN).numbers
    present = ~np.isnan(TRAIN.numbers[:, 1])
    assert len(np.unique(features[present, 1])) == len(np.unique(TRAIN.numbers[present, 1]))
    assert not features[:, 2].any()
    other = TRAIN.numbers.copy()
    other[:, 2] = 1e300
    assert not found.transform(Table(numbers=other, categories=TRAIN.categories)).numbers[:, 2].any()


@pytest.mark.parametrize("scale", SCALE)
def test_what_is_never_seen_in_training_stays_finite(scale: str) -> None:
    found = fit({"scale": scale, "reduce": "pca"})
    wild = np.array([[1e308, -1e308, np.inf, -np.inf], [np.nan] * 4, [-0.0, 5e-324, 1e30, -1e-300]])
    texts = np.array([["\U0001f600", "a\0b", "x" * 5000], ["", " ", "​"], ["NaN", "-1", "e\u0301"]], dtype=object)
    features = found.transform(Table(numbers=wild, categories=texts)).numbers
    assert np.isfinite(features).all()


def test_texts_that_look_alike_are_different_categories() -> None:
    keys = ["é", "e\u0301", "a\0b", "a", " a", "A", "-1", "", "\U0001f600", "nan", "0", "x" * 3000]
    train = Table(numbers=np.zeros((24, 0)), categories=np.array([[k] for k in keys * 2], dtype=object))
    found = fit_preprocess(train, facts_of((), ("ключ",)), Recipe({"encode": "ordinal"}), np.arange(24) % 2)
    later = Table(numbers=np.zeros((12, 0)), categories=np.array([[k] for k in keys], dtype=object))
    assert sorted(found.transform(later).numbers.ravel().tolist()) == list(range(12))


def test_indicator_only_for_columns_with_gaps_and_all_missing_becomes_zero() -> None:
    numbers = np.array([[1.0, np.nan, np.nan], [2.0, 5.0, np.nan], [3.0, 6.0, np.nan]] * 4)
    part = Table(numbers=numbers, categories=np.empty((12, 0), dtype=object))
    recipe = Recipe({"impute.indicator": True, "scale": "none"})
    found = fit_preprocess(part, facts_of(("a", "b", "c"), ()), recipe, np.arange(12) % 2)
    assert found.feature_names == ("a", "b", "c", "b: missing", "c: missing")
    later = Table(numbers=np.array([[np.nan, np.nan, 9.0]]), categories=np.empty((1, 0), dtype=object))
    assert found.transform(later).numbers.tolist() == [[2.0, 5.5, 9.0, 1.0, 0.0]]


def test_same_fit_same_bytes() -> None:
    recipe = {"encode": "target", "reduce": "truncated_svd"}
    first, second = fit(recipe), fit(recipe)
    assert first.graph.SerializeToString(deterministic=True) == second.graph.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(first.training_values, second.training_values)


def test_graph_is_small_and_portable() -> None:
    graph = fit({"encode": "onehot", "impute.indicator": True}).graph
    assert graph.ir_version == IR_VERSION
    assert {n.domain for n in graph.graph.node} == {"", "ai.onnx.ml"}
    assert len(graph.graph.node) < 22
    names = [i.name for i in onnxruntime.InferenceSession(graph.SerializeToString()).get_inputs()]
    assert names == ["plain", "large integers", "constant", "features_", "farbe", "größe", "scores_"]


def test_strategies_say_why_they_do_not_apply() -> None:
    slot = Slot(index=0)
    numbers, texts = facts_of(("a",), ()), facts_of((), ("b",))
    assert Scale.applies(numbers, slot) is None
    assert "number column" in (Scale.applies(texts, slot) or "")
    assert "category column" in (Encode.applies(numbers, slot) or "")
    assert "missing" in (Impute.applies(texts, slot) or "")
    assert "too few" in (Reduce.applies(numbers, slot) or "")
    assert Reduce.applies(facts_of(NUMBERS, CATEGORIES), slot) is None


@pytest.mark.parametrize("strategy", [Impute, Scale, Encode, Reduce])
def test_declarations_fit_their_defaults(strategy: type[Impute] | type[Scale] | type[Encode] | type[Reduce]) -> None:
    for declaration in strategy.declarations():
        assert declaration.domain.contains(declaration.default)
        assert declaration.stage == "prepare"
        assert declaration.summary


def test_many_rows_go_through_in_batches_and_projections_learn_from_some() -> None:
    rows = 21_000
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(rows, 4)) * [5.0, 3.0, 2.0, 1.0]
    categories = rng.choice(np.array(["a", "b", ""], dtype=object), (rows, 1))
    part, facts = Table(numbers=numbers, categories=categories), facts_of(("a", "b", "c", "d"), ("e",))
    for recipe in ({"encode": "embed", "encode.min_count": 1}, {"scale": "none", "reduce": "pca", "reduce.share": 0.4}):
        found = fit_preprocess(part, facts, Recipe(recipe), np.arange(rows) % 2)  # type: ignore[arg-type]
        assert_same(found.transform(part), found.reference(part), 1e-5)
    theirs = PCA(n_components=2).fit(numbers)
    assert abs(np.corrcoef(found.transform(part).numbers[:, 0], theirs.transform(numbers)[:, 0])[0, 1]) > 0.99


@pytest.mark.parametrize("scale", SCALE)
@pytest.mark.parametrize("size", [1e-262, 1e-45, 1e-30, 1e30, 1e300])
def test_a_single_column_of_any_size_is_the_reference(scale: str, size: float) -> None:
    """onnxruntime takes a double that float32 rounds to 0 for 0, and drops its subtraction."""
    numbers = np.array([[np.nan], [0.0], [1.0], [2.0], [4.0], [8.0]]) * size
    part = Table(numbers=numbers, categories=np.empty((6, 0), dtype=object))
    found = fit_preprocess(part, facts_of(("x",), ()), Recipe({"scale": scale}), np.arange(6) % 2)
    assert_same(found.transform(part), found.reference(part))
