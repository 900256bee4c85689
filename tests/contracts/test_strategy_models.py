"""What every model of plain numbers promises, on every kind of task, with missing values where it takes them."""

from pathlib import Path

import numpy as np
import pytest
from support_models import Kind, Reports, context, facts_of, graph_error, run, sklearn_data, training_data

from autoopt.errors import StageFailure
from autoopt.strategies.linear.artifact import LinearArtifact
from autoopt.strategies.linear.linear import Linear
from autoopt.strategies.linear.linear_svm import LinearSVM
from autoopt.strategies.model import Features, Model, TableData
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.decision_tree import DecisionTree
from autoopt.strategies.trees.extra_trees import ExtraTrees
from autoopt.strategies.trees.lightgbm import LightGBM
from autoopt.strategies.trees.random_forest import RandomForest
from autoopt.task.scoring import score
from autoopt.values import FailureReason

TREES: dict[str, Model] = {
    "lightgbm": LightGBM(n_trees=40),
    "lightgbm-boosters": LightGBM(n_trees=25, boosters=3, bagging_fraction=0.8),
    "random_forest": RandomForest(n_trees=25),
    "extra_trees": ExtraTrees(n_trees=25, bootstrap=True),
    "decision_tree": DecisionTree(),
}
LINEAR: dict[str, Model] = {
    "linear": Linear(),
    "linear-l1": Linear(penalty="l1", max_iterations=50),
    "linear-elasticnet": Linear(penalty="elasticnet", max_iterations=50),
    "linear_svm": LinearSVM(),
}
MODELS = {**TREES, **LINEAR}
FORESTS = ("random_forest", "extra_trees", "decision_tree")

every_model = pytest.mark.parametrize("name", MODELS)
every_tree = pytest.mark.parametrize("name", TREES)
every_linear = pytest.mark.parametrize("name", LINEAR)
every_kind = pytest.mark.parametrize("kind", list(Kind), ids=str)


@every_kind
@pytest.mark.parametrize(
    "name,missing", [*((n, m) for n in TREES for m in (False, True)), *((n, False) for n in LINEAR)]
)
def test_graph_gives_what_the_trained_model_gives(name: str, missing: bool, kind: Kind) -> None:
    data, reports = sklearn_data(kind, missing=missing), Reports()
    trained = MODELS[name].train(data, context(reports))
    assert trained.valid_scores.dtype == np.float64
    assert graph_error(trained, data) < (1e-6 if name in FORESTS else 1e-5)
    if kind.classifies:
        assert np.allclose(trained.valid_scores.sum(axis=1), 1)
    _check_reports(reports, data, trained.valid_scores if not name.startswith("lightgbm") else None)
    _check_useful(data, trained.valid_scores)


def _check_reports(reports: Reports, data: TableData, last: np.ndarray | None) -> None:
    steps = [step for step, _ in reports.seen]
    assert steps[0] == 0
    assert steps == sorted(steps)
    assert len(steps) >= 2
    quality = reports.seen[-1][1]["valid"]
    if last is not None:  # LightGBM goes back to its best round in the end
        assert quality == pytest.approx(score(data.facts.metric, data.facts, data.valid_target, last), rel=1e-9)


def _check_useful(data: TableData, scores: np.ndarray) -> None:
    """Columns stand for the right classes, rows for the right rows: far better than a guess."""
    quality = score(data.facts.metric, data.facts, data.valid_target, scores)
    if data.facts.kind is Kind.REGRESSION:
        assert quality < float(np.std(data.valid_target))
    else:
        assert quality > (0.85 if data.facts.kind is Kind.BINARY else 0.5)


@every_kind
@pytest.mark.parametrize("name,missing", [(n, m) for n in TREES for m in (False, True)])
def test_compact_graph_is_smaller_and_gives_the_same(name: str, missing: bool, kind: Kind) -> None:
    data = sklearn_data(kind, missing=missing)
    artifact = MODELS[name].train(data, context()).artifact
    assert isinstance(artifact, TreesArtifact)
    numbers = np.concatenate([data.valid.numbers, np.full_like(data.valid.numbers[:1], np.nan), _huge(data)])
    portable, compact = artifact.graph(), artifact.compact_graph()
    wide = name in FORESTS and kind is Kind.MULTICLASS
    expected, found = run(portable, numbers), run(compact, numbers)
    assert np.array_equal(expected, found) if not wide else np.allclose(expected, found, rtol=1e-6, atol=1e-7)
    assert np.allclose(artifact.scores(numbers), found, rtol=1e-6, atol=1e-6)
    assert compact.ByteSize() < (0.75 if artifact.arrays.splits < 200 else 0.5) * portable.ByteSize()


def _huge(data: TableData) -> np.ndarray:
    return np.array([[3e38], [-3e38], [0.0], [-0.0]], dtype=np.float32) * np.ones_like(data.valid.numbers[:1])


@every_kind
@every_model
def test_saved_and_loaded_gives_the_same_bytes(name: str, kind: Kind, tmp_path: Path) -> None:
    artifact = MODELS[name].train(sklearn_data(kind, rows=150), context()).artifact
    artifact.save(tmp_path)
    again = type(artifact).load(tmp_path)
    assert again.graph().SerializeToString() == artifact.graph().SerializeToString()
    assert {p.suffix for p in tmp_path.iterdir()} <= {".safetensors", ".json", ".txt"}
    if isinstance(artifact, TreesArtifact) and isinstance(again, TreesArtifact):
        assert again.compact_graph().SerializeToString() == artifact.compact_graph().SerializeToString()
        assert (tmp_path / "model.txt").exists() == name.startswith("lightgbm")
        assert again.text == artifact.text


@every_kind
@every_model
def test_same_seed_same_artifact(name: str, kind: Kind, tmp_path: Path) -> None:
    data = sklearn_data(kind, rows=150)
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        MODELS[name].train(data, context(seed=3)).artifact.save(tmp_path / part)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@every_model
def test_threads_change_nothing(name: str) -> None:
    data = sklearn_data(Kind.BINARY)
    one, two = (MODELS[name].train(data, context(threads=t)).artifact.graph() for t in (1, 2))
    assert one.SerializeToString() == two.SerializeToString()


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_another_seed_grows_other_trees(name: str) -> None:
    data = sklearn_data(Kind.REGRESSION, rows=150)
    one, other = (MODELS[name].train(data, context(seed=s)).valid_scores for s in (1, 2))
    assert not np.allclose(one, other)


@every_kind
@every_model
def test_one_feature_and_a_constant_one(name: str, kind: Kind) -> None:
    generator = np.random.default_rng(0)
    signal = generator.normal(size=240)
    edges = {Kind.BINARY: [0.0], Kind.MULTICLASS: [-0.5, 0.5]}
    target = np.digitize(signal, edges[kind]) if kind.classifies else 3 * signal
    for numbers in (signal[:, None], np.stack([np.full(240, 1e6), signal], axis=1)):
        data = training_data(kind, numbers, target)
        trained = MODELS[name].train(data, context())
        assert graph_error(trained, data) < 1e-5
        _check_useful(data, trained.valid_scores)


@every_kind
@every_model
def test_nothing_but_a_constant_feature_gives_a_constant(name: str, kind: Kind) -> None:
    target = np.tile([0, 1, 2 if kind is not Kind.BINARY else 1, 0], 30)
    data = training_data(kind, np.ones((120, 1)), target)
    trained = MODELS[name].train(data, context())
    assert graph_error(trained, data) < 1e-5
    assert np.ptp(trained.valid_scores, axis=0).max() == 0
    share = np.bincount(data.train_target.astype(int)) / len(data.train_target)
    expected = share if kind.classifies else np.median(target) if name == "linear_svm" else np.mean(data.train_target)
    assert np.allclose(trained.valid_scores[0], expected, atol=0.25 if name == "linear_svm" else 0.1)


@every_model
def test_a_class_that_valid_or_train_does_not_hold(name: str) -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(300, 3))
    target = np.digitize(numbers[:, 0], [-0.4, 0.4])
    without = target != 2
    in_train = training_data(
        Kind.MULTICLASS,
        np.concatenate([numbers, numbers[without][:100]]),
        np.append(target, target[without][:100]),
        classes=3,
    )
    nowhere = training_data(Kind.MULTICLASS, numbers[without], target[without], classes=3)
    for data in (in_train, nowhere):
        trained = MODELS[name].train(data, context())
        assert trained.valid_scores.shape == (data.valid.rows, 3)
        assert graph_error(trained, data) < 1e-5
    assert trained.valid_scores[:, 2].max() < 1e-6
    assert run(trained.artifact.graph(), data.valid.numbers)[:, 2].max() < 1e-6


@every_model
def test_valid_of_one_class_reports_no_undefined_quality(name: str) -> None:
    data = sklearn_data(Kind.BINARY)
    only = TableData(
        facts=data.facts,
        train=data.train,
        train_target=data.train_target,
        valid=data.valid,
        valid_target=np.zeros(data.valid.rows, dtype=np.int64),
    )
    reports = Reports()
    MODELS[name].train(only, context(reports))
    assert len(reports.seen) >= 2
    assert all(np.isfinite(v) for _, values in reports.seen for v in values.values())


@every_model
def test_values_far_from_zero_keep_their_digits(name: str) -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(300, 3))
    data = training_data(Kind.REGRESSION, numbers, 1e7 + 5 * numbers[:, 0] + generator.normal(size=300), metric="mae")
    trained = MODELS[name].train(data, context())
    found = run(trained.artifact.graph(), data.valid.numbers)
    assert np.abs(found - trained.valid_scores).max() <= 1.0  # float32 steps by 1 there
    assert np.abs(trained.valid_scores[:, 0] - data.valid_target).mean() < 3.0


@every_model
def test_a_dozen_rows_are_enough(name: str) -> None:
    generator = np.random.default_rng(0)
    for kind in Kind:
        target = np.tile(np.arange(2 if kind is Kind.BINARY else 3), 6)
        data = training_data(kind, generator.normal(size=(len(target), 2)), target)
        assert graph_error(MODELS[name].train(data, context()), data) < 1e-5


@every_linear
def test_linear_models_refuse_missing_values_with_the_mend(name: str) -> None:
    with pytest.raises(StageFailure, match=r"takes no missing values, and the train features hold \d+.*impute") as info:
        MODELS[name].train(sklearn_data(Kind.BINARY, missing=True), context())
    assert info.value.reason == FailureReason.ERROR


@every_linear
def test_linear_models_refuse_one_class_in_train(name: str) -> None:
    data = training_data(Kind.BINARY, np.arange(30.0)[:, None], np.array([0] * 20 + [1] * 10), classes=2)
    with pytest.raises(StageFailure, match="two classes in train"):
        MODELS[name].train(data, context())


@every_model
def test_codes_and_no_features_are_refused(name: str) -> None:
    codes = Features(
        numbers=np.zeros((4, 1), dtype=np.float32), codes=np.ones((4, 2), dtype=np.int64), cardinalities=(2, 2)
    )
    empty = Features(numbers=np.zeros((4, 0), dtype=np.float32), codes=np.zeros((4, 0), dtype=np.int64))
    facts, target = facts_of(Kind.BINARY, 2, {}), np.array([0, 1, 0, 1])
    for features, words in ((codes, "encode: embed left 2 columns"), (empty, "no feature")):
        data = TableData(facts=facts, train=features, train_target=target, valid=features, valid_target=target)
        with pytest.raises(StageFailure, match=words):
            MODELS[name].train(data, context())


@every_model
def test_cards_are_complete(name: str) -> None:
    declared = type(MODELS[name]).declarations()
    assert all(d.summary and d.stage == "train" and ("model", (d.strategy,)) in d.when for d in declared)
    assert all(d.domain.contains(d.default) for d in declared)
    for words in ("When it helps", "Cost", "issing values", "Reference"):
        assert words in (type(MODELS[name]).__doc__ or "")


def test_linear_artifacts_take_few_bytes() -> None:
    artifact = LINEAR["linear"].train(sklearn_data(Kind.BINARY), context()).artifact
    assert isinstance(artifact, LinearArtifact)
    assert artifact.graph().ByteSize() < 600
