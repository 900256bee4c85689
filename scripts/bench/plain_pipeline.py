"""A recipe as scikit-learn users would write it: ColumnTransformer, then the model, fitted on raw DataFrame columns."""

from typing import Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from autoopt.space import Recipe
from autoopt.strategies import models
from autoopt.strategies.tables.encode import Encode
from autoopt.strategies.tables.impute import Impute
from autoopt.strategies.tables.reduce import Reduce
from autoopt.strategies.tables.scale import Scale, signed_log
from autoopt.task.facts import Kind, TaskFacts


def plain_pipeline(facts: TaskFacts, recipe: Recipe, *, trees: int) -> Pipeline:
    """Unfitted. `trees`: how many rounds the exported boosting has, which its early stopping decided.

    Embeddings have no counterpart: a network gets one-hot columns and scikit-learn's own of the same width and depth.
    """
    parts = []
    if facts.number_columns:
        parts.append(("numbers", _numbers(recipe), list(facts.number_columns)))
    if facts.category_columns:
        parts.append(("categories", _categories(recipe), list(facts.category_columns)))
    steps: list[tuple[str, Any]] = [("columns", ColumnTransformer(parts))]
    reduce = Reduce.from_recipe(recipe)
    if reduce.reduce != "none":
        count = len(facts.number_columns) + len(facts.category_columns)
        kept = max(1, round(reduce.share * count))
        steps.append(("reduce", PCA(kept) if reduce.reduce == "pca" else TruncatedSVD(kept)))
    steps.append(("model", _model(recipe, facts.kind is Kind.REGRESSION, trees)))
    return Pipeline(steps).set_output(transform="default")


def _numbers(recipe: Recipe) -> Any:
    impute, scale = Impute.from_recipe(recipe), Scale.from_recipe(recipe).scale
    steps: list[Any] = []
    if impute.impute != "native" and "impute" in recipe:
        steps.append(SimpleImputer(strategy=impute.impute, add_indicator=impute.indicator, keep_empty_features=True))
    if scale == "log_standard":
        steps.append(FunctionTransformer(signed_log))
    scalers = {"standard": StandardScaler, "log_standard": StandardScaler, "minmax": MinMaxScaler}
    if scale in scalers:
        steps.append(scalers[scale]())
    elif scale == "robust":
        steps.append(RobustScaler())
    return make_pipeline(*steps) if steps else "passthrough"


def _categories(recipe: Recipe) -> Any:
    encode = Encode.from_recipe(recipe)
    if encode.encode == "ordinal":
        return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    if encode.encode == "target":
        return TargetEncoder()
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=encode.min_count,
        max_categories=encode.max_categories,
        sparse_output=False,
    )


def _model(recipe: Recipe, regression: bool, trees: int) -> Any:
    """The estimator with the recipe's own settings, one thread."""
    name = str(recipe["model"])
    config = models()[name].from_recipe(recipe)
    if name == "lightgbm":
        return _lightgbm(config, regression, trees)
    if name == "mlp":
        kind = MLPRegressor if regression else MLPClassifier
        # Timing is all that is asked of it: one epoch, and what it learns does not matter.
        return kind(hidden_layer_sizes=(config.width,) * (1 + 2 * config.depth), max_iter=1)
    if name == "linear":
        return (
            (Ridge(1 / config.C) if config.penalty == "l2" else ElasticNet(1 / config.C))
            if regression
            else (LogisticRegression(C=config.C, max_iter=config.max_iterations))
        )
    if name == "linear_svm":
        return LinearSVR(C=config.C) if regression else CalibratedClassifierCV(LinearSVC(C=config.C), ensemble=False)
    if name == "decision_tree":
        tree = DecisionTreeRegressor if regression else DecisionTreeClassifier
        return tree(**_leaves(config), random_state=0)
    forests = {
        ("random_forest", False): RandomForestClassifier,
        ("random_forest", True): RandomForestRegressor,
        ("extra_trees", False): ExtraTreesClassifier,
        ("extra_trees", True): ExtraTreesRegressor,
    }
    return forests[name, regression](n_estimators=config.n_trees, **_leaves(config), n_jobs=1, random_state=0)


def _leaves(config: Any) -> dict[str, Any]:
    return {
        "max_leaf_nodes": config.max_leaf_nodes,
        "min_samples_leaf": config.min_samples_leaf,
        "max_features": config.max_features_share,
    }


def _lightgbm(config: Any, regression: bool, trees: int) -> Any:
    kind = LGBMRegressor if regression else LGBMClassifier
    return kind(
        n_estimators=trees,
        learning_rate=config.learning_rate,
        num_leaves=config.num_leaves,
        min_child_samples=config.min_child_samples,
        colsample_bytree=config.feature_fraction,
        subsample=config.bagging_fraction,
        subsample_freq=1 if config.bagging_fraction < 1 else 0,
        reg_alpha=config.lambda_l1,
        reg_lambda=config.lambda_l2,
        max_bin=config.max_bin,
        n_jobs=1,
        random_state=0,
        verbosity=-1,
    )


def trees_of(model_text: str, facts: TaskFacts) -> int:
    """Rounds in LightGBM's own text of a model."""
    each = len(facts.classes) if facts.kind is Kind.MULTICLASS else 1
    return model_text.count("\nTree=") // each


def labels(facts: TaskFacts, target: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What to fit on: class indices or values, as the snapshot has them."""
    return target.astype(np.int64) if facts.kind.classifies else target
