"""Which class a name of a recipe or of a store entry stands for."""

import functools
from collections.abc import Mapping

from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.domains import Choice
from autoopt.strategies.base import Strategy
from autoopt.strategies.batch_size import BatchSize
from autoopt.strategies.decision_tree import DecisionTree
from autoopt.strategies.encode import Encode
from autoopt.strategies.extra_trees import ExtraTrees
from autoopt.strategies.impute import Impute
from autoopt.strategies.lightgbm import LightGBM
from autoopt.strategies.linear import Linear
from autoopt.strategies.linear_artifact import LinearArtifact
from autoopt.strategies.linear_svm import LinearSVM
from autoopt.strategies.mlp import MLP
from autoopt.strategies.model import Artifact, Model
from autoopt.strategies.network import NetworkArtifact
from autoopt.strategies.optimizer import Optimizer
from autoopt.strategies.precision import Precision
from autoopt.strategies.quantize import Quantize
from autoopt.strategies.random_forest import RandomForest
from autoopt.strategies.reduce import Reduce
from autoopt.strategies.scale import Scale
from autoopt.strategies.schedule import Schedule
from autoopt.strategies.trees import TreesArtifact

MODELS: Mapping[str, type[Model]] = {
    m.name: m for m in (LightGBM, RandomForest, ExtraTrees, DecisionTree, Linear, LinearSVM, MLP)
}
STRATEGIES: tuple[type[Strategy], ...] = (
    Impute,
    Scale,
    Encode,
    Reduce,
    *MODELS.values(),
    BatchSize,
    Optimizer,
    Schedule,
    Precision,
    Quantize,
)
ARTIFACTS: Mapping[str, type[Artifact]] = {a.kind: a for a in (TreesArtifact, LinearArtifact, NetworkArtifact)}


def models() -> Mapping[str, type[Model]]:
    return MODELS


def artifacts() -> Mapping[str, type[Artifact]]:
    return ARTIFACTS


@functools.cache
def catalogue() -> Catalogue:
    model = Declaration(
        name="model", domain=Choice(values=tuple(MODELS)), default="lightgbm", strategy="model", stage="train"
    )
    return Catalogue([model, *(d for s in STRATEGIES for d in s.declarations())])
