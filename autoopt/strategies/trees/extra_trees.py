"""Extra trees: a forest whose thresholds are drawn at random."""

from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import choice, real, whole
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.trees.sklearn_trees import grow
from autoopt.task.facts import Kind


@final
@dataclass(frozen=True, kw_only=True)
class ExtraTrees(Model):
    """Extremely randomized trees: a forest in which each split tries one random threshold a feature.

    When it helps: smoother than a random forest and faster to grow, often better with many noisy numbers. Cost: more
    leaves for the same accuracy; the artifact grows with n_trees x max_leaf_nodes, latency with n_trees.
    Missing values: taken as they are (a direction for NaN is drawn at each split).
    Reference: Geurts, Ernst, Wehenkel, Extremely randomized trees, Machine Learning 63 (2006).
    """

    name: ClassVar[str] = "extra_trees"
    artifact_kind: ClassVar[str] = "trees"

    n_trees: int = whole(100, low=1, high=2000, log=True, help="trees in the forest")
    max_leaf_nodes: int = whole(512, low=2, high=65536, log=True, help="leaves of a tree at most: bounds the artifact")
    min_samples_leaf: int = whole(2, low=1, high=1000, log=True, help="rows in a leaf at least")
    max_features_share: float = real(0.6, low=0.01, high=1.0, help="share of the features tried at each split")
    bootstrap: bool = choice(False, True, help="grow each tree on rows drawn with replacement, not on all")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Grow the forest. Raises StageFailure for features that it cannot take."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor  # slow to import

        kind = ExtraTreesRegressor if data.facts.kind is Kind.REGRESSION else ExtraTreesClassifier
        forest = kind(
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=min(self.min_samples_leaf, data.train.rows),
            max_features=self.max_features_share,
            bootstrap=self.bootstrap,
            warm_start=True,
            n_jobs=context.slot.threads,
            random_state=context.seed,
        )
        return grow(forest, self.n_trees, data, context, name=self.name)
