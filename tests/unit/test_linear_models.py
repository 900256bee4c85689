"""The linear models beside scikit-learn's own, on features of every scale."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from support_models import Kind, Reports, context, graph_error, run, sklearn_data, training_data

from autoopt.strategies.linear.artifact import LinearArtifact
from autoopt.strategies.linear.fit import FeatureScale
from autoopt.strategies.linear.linear import Linear
from autoopt.strategies.linear.linear_svm import LinearSVM


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS], ids=str)
def test_logistic_regression_is_scikit_learns(kind: Kind) -> None:
    data = sklearn_data(kind)
    scale = FeatureScale.of(data.train.numbers)
    own = Linear(C=0.5, max_iterations=5000).train(data, context())
    theirs = LogisticRegression(C=0.5, max_iter=5000, tol=1e-7).fit(scale.scaled(data.train.numbers), data.train_target)
    assert np.allclose(own.valid_scores, theirs.predict_proba(scale.scaled(data.valid.numbers)), atol=1e-2)


def test_ridge_and_lasso_are_scikit_learns_on_a_scaled_target() -> None:
    data = sklearn_data(Kind.REGRESSION)
    mean, unit = data.train_target.mean(), data.train_target.std()
    for penalty, theirs in (("l2", Ridge(alpha=10.0)), ("l1", Lasso(alpha=10.0 / data.train.rows))):
        own = Linear(C=0.1, penalty=penalty).train(data, context())
        theirs.fit(data.train.numbers.astype(float), (data.train_target - mean) / unit)
        expected = theirs.predict(data.valid.numbers.astype(float)) * unit + mean
        assert np.allclose(own.valid_scores[:, 0], expected, rtol=1e-4)


def test_l1_leaves_few_coefficients() -> None:
    data = sklearn_data(Kind.BINARY)
    few, many = (Linear(C=0.05, penalty=p).train(data, context()).artifact for p in ("l1", "l2"))
    assert isinstance(few, LinearArtifact)
    assert isinstance(many, LinearArtifact)
    assert np.count_nonzero(few.coef) < 0.5 * np.count_nonzero(many.coef)


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS], ids=str)
def test_svm_probabilities_are_those_of_platts_scaling(kind: Kind) -> None:
    data = sklearn_data(kind)
    own = LinearSVM(C=0.01, max_iterations=5000).train(data, context(seed=5))
    folds = StratifiedKFold(3, shuffle=True, random_state=5)
    machine = LinearSVC(C=0.01, dual="auto", max_iter=5000, random_state=5)
    theirs = CalibratedClassifierCV(machine, method="sigmoid", ensemble=False, cv=folds)
    scale = FeatureScale.of(data.train.numbers)
    theirs.fit(scale.scaled(data.train.numbers), data.train_target)
    assert np.allclose(own.valid_scores, theirs.predict_proba(scale.scaled(data.valid.numbers)), atol=2e-3)


def test_svm_of_a_class_with_one_row() -> None:
    generator = np.random.default_rng(0)
    target = np.array([0] * 30 + [1] * 30)
    target[3] = 2
    data = training_data(Kind.MULTICLASS, generator.normal(size=(60, 2)), target, classes=3)
    reports = Reports()
    trained = LinearSVM().train(data, context(reports))
    assert graph_error(trained, data) < 1e-5
    assert len(reports.seen) >= 2


def test_features_of_wild_scales_converge_and_keep_their_digits() -> None:
    generator = np.random.default_rng(0)
    plain = generator.normal(size=(300, 4))
    numbers = plain * [1e6, 1e-6, 1.0, 3.0] + [0.0, 0.0, 0.0, 2e5]  # the last: float32 steps of 1/64 on a width of 3
    target = (plain.sum(axis=1) > 0).astype(np.int64)
    data = training_data(Kind.BINARY, numbers, target)
    for model in (Linear(), LinearSVM()):
        trained = model.train(data, context())
        assert not trained.notes
        assert graph_error(trained, data) < 1e-5
        assert np.mean(trained.valid_scores.argmax(axis=1) == data.valid_target) > 0.95


def test_one_hot_and_standard_features_are_left_as_they_are() -> None:
    generator = np.random.default_rng(0)
    numbers = np.stack([generator.random(500) < 0.01, generator.normal(size=500), np.zeros(500)], axis=1)
    scale = FeatureScale.of(numbers.astype(np.float32))
    assert np.array_equal(scale.mean, np.zeros(3))
    assert np.array_equal(scale.unit, np.ones(3))
    assert not scale.centre.any()


def test_no_convergence_is_a_note_not_a_warning() -> None:
    trained = Linear(C=1e6, penalty="l1", max_iterations=10).train(sklearn_data(Kind.BINARY), context())
    assert len(trained.notes) == 1
    assert "before it had converged" in trained.notes[0]


def test_normalized_sigmoids_that_all_underflow_give_equal_shares() -> None:
    artifact = LinearArtifact(
        coef=np.full((1, 3), -1000.0),
        intercept=np.zeros(3),
        centre=np.zeros(1, dtype=np.float32),
        link="sigmoid_normalized",
    )
    assert np.allclose(run(artifact.graph(), np.ones((1, 1), dtype=np.float32)), 1 / 3)
