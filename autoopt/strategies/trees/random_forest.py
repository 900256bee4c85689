"""Random forest: the mean of trees grown on resampled rows."""

from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import real, whole
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.trees.sklearn_trees import grow
from autoopt.task.facts import Kind


@final
@dataclass(frozen=True, kw_only=True)
class RandomForest(Model):
    """A random forest: many trees, each grown on resampled rows with few features tried at each split.

    When it helps: a strong start with hardly anything to tune, hard to overfit, at home with a few thousand rows. Cost:
    the artifact grows with n_trees x max_leaf_nodes (about 20 bytes a leaf), latency with n_trees.
    Missing values: taken as they are (a direction for NaN is learned at each split).
    Reference: Breiman, Random Forests, Machine Learning 45 (2001); scikit-learn's RandomForest*.
    """

    name: ClassVar[str] = "random_forest"
    artifact_kind: ClassVar[str] = "trees"

    n_trees: int = whole(100, low=1, high=2000, log=True, help="trees in the forest")
    max_leaf_nodes: int = whole(512, low=2, high=65536, log=True, help="leaves of a tree at most: bounds the artifact")
    min_samples_leaf: int = whole(2, low=1, high=1000, log=True, help="rows in a leaf at least")
    max_features_share: float = real(0.4, low=0.01, high=1.0, help="share of the features tried at each split")
    bootstrap_share: float = real(1.0, low=0.05, high=1.0, help="rows drawn for a tree, as a share of all (bagging)")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Grow the forest. Raises StageFailure for features that it cannot take."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor  # slow to import

        kind = RandomForestRegressor if data.facts.kind is Kind.REGRESSION else RandomForestClassifier
        forest = kind(
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=min(self.min_samples_leaf, data.train.rows),
            max_features=self.max_features_share,
            max_samples=max(1, round(self.bootstrap_share * data.train.rows)),  # a share warns on few rows
            bootstrap=True,
            warm_start=True,
            n_jobs=context.slot.threads,
            random_state=context.seed,
        )
        return grow(forest, self.n_trees, data, context, name=self.name)
