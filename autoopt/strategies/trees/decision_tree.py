"""A single decision tree: the smallest and fastest model of all."""

from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import real, whole
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.trees.sklearn_trees import grow_one
from autoopt.task.facts import Kind


@final
@dataclass(frozen=True, kw_only=True)
class DecisionTree(Model):
    """One decision tree (CART).

    When it helps: a few kilobytes, microseconds a row, and readable; the floor that bigger models have to beat. Cost:
    accuracy, and leaves that change with small changes of the data.
    Missing values: taken as they are (a direction for NaN is learned at each split).
    Reference: Breiman et al., Classification and Regression Trees (1984); scikit-learn's DecisionTree*.
    """

    name: ClassVar[str] = "decision_tree"
    artifact_kind: ClassVar[str] = "trees"

    max_leaf_nodes: int = whole(64, low=2, high=65536, log=True, help="leaves at most: bounds the artifact")
    min_samples_leaf: int = whole(5, low=1, high=1000, log=True, help="rows in a leaf at least")
    max_features_share: float = real(1.0, low=0.01, high=1.0, help="share of the features tried at each split")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Grow the tree. Raises StageFailure for features that it cannot take."""
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # slow to import

        kind = DecisionTreeRegressor if data.facts.kind is Kind.REGRESSION else DecisionTreeClassifier
        tree = kind(
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=min(self.min_samples_leaf, data.train.rows),
            max_features=self.max_features_share,
            random_state=context.seed,
        )
        return grow_one(tree, data, context, name=self.name)
