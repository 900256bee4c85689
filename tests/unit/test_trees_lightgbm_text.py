"""LightGBM's text → arrays: the routing and the sums of the booster itself, missing values included."""

import lightgbm
import numpy as np
import pytest

from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.lightgbm_text import trees_from_text

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 1}


def _numbers(rows: int, *, missing: bool) -> np.ndarray:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(rows, 4)).astype(np.float32)
    numbers[:, 3] = np.round(numbers[:, 3])  # ties, and values at thresholds
    if missing:
        numbers[generator.random(numbers.shape) < 0.2] = np.nan
    return numbers


def _sums(text: str, outputs: int, numbers: np.ndarray) -> np.ndarray:
    arrays = trees_from_text(text, outputs=outputs)
    base = np.zeros(outputs)
    artifact = TreesArtifact(arrays=arrays, features=4, columns=outputs, average=False, link="identity", base=base)
    return artifact.scores(numbers)


@pytest.mark.parametrize("missing", [False, True])
def test_sums_are_those_of_the_booster(missing: bool) -> None:
    numbers = _numbers(400, missing=missing)
    target = np.nan_to_num(numbers[:, 0] * numbers[:, 1] + numbers[:, 3])
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(numbers, target), 20)
    seen = np.concatenate([numbers, _numbers(50, missing=True), np.full((1, 4), np.nan, dtype=np.float32)])
    assert np.allclose(_sums(booster.model_to_string(), 1, seen)[:, 0], booster.predict(seen), rtol=1e-12, atol=1e-12)


def test_trees_of_several_classes_take_turns() -> None:
    numbers = _numbers(300, missing=False)
    target = np.digitize(numbers[:, 0], [-0.5, 0.5])
    booster = lightgbm.train({**QUIET, "objective": "multiclass", "num_class": 3}, lightgbm.Dataset(numbers, target), 5)
    arrays = trees_from_text(booster.model_to_string(), outputs=3)
    assert list(arrays.tree_output) == [0, 1, 2] * 5
    assert np.allclose(
        _sums(booster.model_to_string(), 3, numbers), booster.predict(numbers, raw_score=True), rtol=1e-12
    )


def test_only_the_rounds_that_were_asked_for_are_read() -> None:
    numbers = _numbers(300, missing=False)
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(numbers, numbers[:, 0].copy()), 12)
    assert trees_from_text(booster.model_to_string(num_iteration=7), outputs=1).trees == 7


def test_a_booster_without_splits_is_its_constant() -> None:
    numbers = np.ones((50, 4), dtype=np.float32)
    target = np.full(50, 2.5)
    booster = lightgbm.train({**QUIET, "objective": "regression"}, lightgbm.Dataset(numbers, target), 3)
    assert np.allclose(_sums(booster.model_to_string(), 1, numbers)[:, 0], booster.predict(numbers))


def test_text_without_trees_adds_nothing() -> None:
    assert np.array_equal(
        _sums("tree\nversion=v4\n\nend of trees\n", 2, np.zeros((3, 4), dtype=np.float32)), np.zeros((3, 2))
    )


@pytest.mark.parametrize("extra", [{"zero_as_missing": True}, {"linear_tree": True}])
def test_what_is_never_trained_is_refused(extra: dict[str, bool]) -> None:
    numbers = _numbers(300, missing=False)
    booster = lightgbm.train(
        {**QUIET, "objective": "regression", **extra}, lightgbm.Dataset(numbers, numbers[:, 3].copy(), params=extra), 2
    )
    with pytest.raises(ValueError, match="cannot be read"):
        trees_from_text(booster.model_to_string(), outputs=1)


def test_categorical_splits_are_refused() -> None:
    numbers = _numbers(300, missing=False)
    numbers[:, 3] = np.abs(numbers[:, 3])
    dataset = lightgbm.Dataset(numbers, numbers[:, 3] == 1, categorical_feature=[3])
    booster = lightgbm.train({**QUIET, "objective": "binary", "min_data_per_group": 1}, dataset, 2)
    with pytest.raises(ValueError, match="cannot be read"):
        trees_from_text(booster.model_to_string(), outputs=1)
