"""Gradient boosting by LightGBM."""

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import derived_seed
from autoopt.strategies.base import real, whole
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.tables.plain_features import check_plain, report_quality
from autoopt.strategies.trees.arrays import Floats, TreeArrays
from autoopt.strategies.trees.artifact import Link, TreesArtifact
from autoopt.strategies.trees.lightgbm_text import trees_from_text
from autoopt.task.facts import Kind
from autoopt.values import FailureReason

_REPORT_EVERY: Final = 10
_OBJECTIVES: Final = {
    Kind.BINARY: ("binary", "binary_logloss"),
    Kind.MULTICLASS: ("multiclass", "multi_logloss"),
    Kind.REGRESSION: ("regression", "rmse"),
}
_LINKS: Final[dict[Kind, Link]] = {Kind.BINARY: "sigmoid", Kind.MULTICLASS: "softmax", Kind.REGRESSION: "identity"}
_STOP_ON: Final = {"roc_auc": "auc", "average_precision": "average_precision"}  # of two classes; else the loss itself


@final
@dataclass(frozen=True, kw_only=True)
class LightGBM(Model):
    """Gradient-boosted trees, grown leaf by leaf on histograms, stopped when valid gets no better.

    When it helps: mostly the most accurate model on tables, in seconds. Cost: the artifact grows with rounds x
    classes x num_leaves (about 20 bytes a leaf), latency with rounds x classes.
    Missing values: taken as they are (a direction for NaN is learned at each split).
    A value target is fitted in units of its standard deviation about its mean; `mae` is fitted as such.
    Several boosters average out the luck of a single one's row and feature samples: a little better, as many times
    larger and slower; they need a bagging_fraction or feature_fraction below 1 to differ.
    Reference: Ke et al., LightGBM, NeurIPS 2017; https://lightgbm.readthedocs.io/en/latest/Parameters.html
    """

    name: ClassVar[str] = "lightgbm"
    artifact_kind: ClassVar[str] = "trees"

    n_trees: int = whole(300, low=1, high=10000, log=True, help="rounds at most; each grows one tree a class")
    learning_rate: float = real(0.1, low=0.001, high=1.0, log=True, help="share of each tree's step that is taken")
    num_leaves: int = whole(31, low=2, high=4096, log=True, help="leaves of a tree at most")
    min_child_samples: int = whole(20, low=1, high=1000, log=True, help="rows in a leaf at least")
    feature_fraction: float = real(1.0, low=0.05, high=1.0, help="share of the features that each tree may use")
    bagging_fraction: float = real(1.0, low=0.05, high=1.0, help="share of the rows drawn for each tree")
    lambda_l1: float = real(0.0, low=0.0, high=100.0, help="L1 penalty on leaf values")
    lambda_l2: float = real(0.0, low=0.0, high=100.0, help="L2 penalty on leaf values")
    max_bin: int = whole(255, low=15, high=1023, log=True, help="bins of a feature's histogram at most")
    patience_rounds: int = whole(30, low=1, high=1000, log=True, help="rounds without a better valid before it stops")
    boosters: int = whole(1, low=1, high=16, help="models grown from different seeds, their margins averaged")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Boost until valid gets no better. Raises StageFailure for features or targets that it cannot take."""
        import lightgbm  # slow to import

        check_plain(data, self.name, missing=True)
        scale = _Scale.of(data)
        params = self._params(data, context)
        numbers, valid_numbers = (np.ascontiguousarray(f.numbers) for f in (data.train, data.valid))
        train_set = lightgbm.Dataset(numbers, scale.shrunk(data.train_target), params=params)
        valid_set = train_set.create_valid(valid_numbers, scale.shrunk(data.valid_target))
        context.report(0, {})
        grown = []
        for index in range(self.boosters):
            watch = _Watch(data=data, context=context, scale=scale, rounds_before=index * self.n_trees)
            try:
                booster = lightgbm.train(
                    {**params, "seed": derived_seed(context.seed, index) if index else context.seed},
                    train_set,
                    num_boost_round=self.n_trees,
                    valid_sets=[valid_set],
                    feval=watch.look,
                    callbacks=[
                        lightgbm.early_stopping(self.patience_rounds, first_metric_only=True, verbose=False),
                        watch.after_round,
                    ],
                )
            except lightgbm.basic.LightGBMError as error:
                raise StageFailure(FailureReason.ERROR, f"LightGBM refuses: {error}") from error
            grown.append(booster)
        return self._trained(grown, data, scale)

    def _params(self, data: TableData, context: TrainingContext) -> dict[str, Any]:
        kind = data.facts.kind
        objective, metric = _OBJECTIVES[kind]
        if kind is Kind.BINARY and len(np.unique(data.valid_target)) == 2:
            metric = _STOP_ON.get(data.facts.metric, metric)
        if data.facts.metric == "mae":
            objective, metric = "regression_l1", "l1"
        return {
            "objective": objective,
            "metric": metric,
            **({"num_class": len(data.facts.classes)} if kind is Kind.MULTICLASS else {}),
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1 if self.bagging_fraction < 1 else 0,
            "lambda_l1": self.lambda_l1,
            "lambda_l2": self.lambda_l2,
            "max_bin": self.max_bin,
            "num_threads": context.slot.threads,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }

    def _trained(self, boosters: list[Any], data: TableData, scale: "_Scale") -> Trained:
        rounds = [b.best_iteration if b.best_iteration > 0 else -1 for b in boosters]
        several = len(boosters) > 1
        scores = [
            b.predict(data.valid.numbers, num_iteration=n, raw_score=several)
            for b, n in zip(boosters, rounds, strict=True)
        ]
        averaged = _linked(data.facts.kind, np.mean(scores, axis=0)) if several else scores[0]
        texts = [b.model_to_string(num_iteration=n) for b, n in zip(boosters, rounds, strict=True)]
        artifact = _artifact(texts, data, scale)
        used = len(artifact.arrays.tree_output) // artifact.outputs
        most = self.n_trees * self.boosters
        return Trained(
            artifact=artifact,
            valid_scores=_columns(data.facts.kind, scale, averaged),
            notes=(f"valid was best after {used} rounds of at most {most}",) if used < most else (),
        )


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """How a value target is shrunk for training: LightGBM keeps targets in float32."""

    centre: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, data: TableData) -> "_Scale":
        if data.facts.kind is not Kind.REGRESSION:
            return cls()
        middle = np.median(data.train_target) if data.facts.metric == "mae" else np.mean(data.train_target)
        return cls(centre=float(middle), unit=float(np.std(data.train_target)) or 1.0)

    def shrunk(self, target: NDArray[Any]) -> NDArray[Any]:
        return (target - self.centre) / self.unit

    def restored(self, values: Floats) -> Floats:
        return values * self.unit + self.centre


@dataclass(kw_only=True)
class _Watch:
    """Reads the predictions that LightGBM has of valid anyway, and reports the task's metric every few rounds."""

    data: TableData
    context: TrainingContext
    scale: _Scale
    rounds_before: int  # of the boosters that are done
    seen: Floats = field(default_factory=lambda: np.zeros(0))

    def look(self, scores: Floats, valid_set: Any) -> list[Any]:
        """LightGBM's hook for own metrics; adds none."""
        self.seen = scores
        return []

    def after_round(self, env: Any) -> None:
        """LightGBM's hook after a round."""
        done = env.iteration + 1
        if done % _REPORT_EVERY == 0 or done == env.end_iteration:
            scores = _columns(self.data.facts.kind, self.scale, self.seen)
            report_quality(self.context.report, self.rounds_before + done, self.data, scores)


def _columns(kind: Kind, scale: _Scale, scores: NDArray[Any]) -> Floats:
    """LightGBM's predictions as scores (rows, columns)."""
    values = np.asarray(scores, dtype=np.float64)
    if kind is Kind.BINARY:
        return np.stack([1 - values, values], axis=1)
    return values if kind is Kind.MULTICLASS else scale.restored(values)[:, None]


def _linked(kind: Kind, margins: Floats) -> Floats:
    """What LightGBM predicts from margins (rows,) or (rows, classes): probabilities, or the values themselves."""
    if kind is Kind.REGRESSION:
        return margins
    if kind is Kind.BINARY:
        return 0.5 * (1.0 + np.tanh(0.5 * margins))  # the logistic function, without overflow
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _artifact(texts: list[str], data: TableData, scale: _Scale) -> TreesArtifact:
    kind = data.facts.kind
    outputs = len(data.facts.classes) if kind is Kind.MULTICLASS else 1
    arrays = reduce(TreeArrays.followed_by, (trees_from_text(text, outputs=outputs) for text in texts))
    arrays = replace(arrays, leaf_values=arrays.leaf_values * (scale.unit / len(texts)))
    notes = [f"value = {scale.centre!r} + {scale.unit!r} * what model.txt predicts"] if kind is Kind.REGRESSION else []
    if len(texts) > 1:
        notes.append(f"model.txt holds {len(texts)} models, one after another; their margins are averaged")
    return TreesArtifact(
        arrays=arrays,
        features=data.train.numbers.shape[1],
        columns=max(len(data.facts.classes), 1),
        average=False,
        link=_LINKS[kind],
        base=np.full(outputs, scale.centre),
        text="\n".join(texts),
        text_notes="; ".join(notes),
    )
