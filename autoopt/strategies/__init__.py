"""The catalogue: every strategy that autoopt knows. Adding one costs its file, and a line here.

The order of the export list is the order of the catalogue: after `model`, a recipe is decided from the data to the
deployed graph, and a strategy's conditions name earlier ones only.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import cache

from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.domains import Choice, Condition, Value
from autoopt.space.ensembles import ENSEMBLE, MEMBERS, MEMBERS_FP16, is_ensemble, members_of
from autoopt.space.recipe import Recipe
from autoopt.strategies.base import ANY_SIZE, COUNTING, NETWORKS, SEQUENCES, Strategy
from autoopt.strategies.deploying.brought import Brought, BroughtArtifact
from autoopt.strategies.deploying.ensemble import Ensemble
from autoopt.strategies.deploying.half import FP16
from autoopt.strategies.deploying.mirror import Mirror
from autoopt.strategies.deploying.quantize import Quantize, twin_choice
from autoopt.strategies.fit import misfit
from autoopt.strategies.images.resolution import Resolution
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.bucketing import Bucketing
from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.distill import Distill
from autoopt.strategies.learning.ema import Ema
from autoopt.strategies.learning.gradients import Gradients
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.loss import Loss
from autoopt.strategies.learning.memory_format import MemoryFormat
from autoopt.strategies.learning.optimizer import Optimizer
from autoopt.strategies.learning.parallel import Parallel
from autoopt.strategies.learning.pinned_memory import PinnedMemory
from autoopt.strategies.learning.precision import Precision
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.schedule import Schedule
from autoopt.strategies.learning.storage import Storage
from autoopt.strategies.linear.artifact import LinearArtifact
from autoopt.strategies.linear.linear import Linear
from autoopt.strategies.linear.linear_svm import LinearSVM
from autoopt.strategies.model import Artifact, Model
from autoopt.strategies.networks.as_built import AsBuilt
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.images.backbone import Backbone
from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet
from autoopt.strategies.networks.images.patch_net import PatchNet
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.strategies.networks.own_module import OwnModule, build_declarations
from autoopt.strategies.networks.own_network import BUILD
from autoopt.strategies.networks.texts.embedding_bag import EmbeddingBag
from autoopt.strategies.networks.texts.text_cnn import TextCNN
from autoopt.strategies.networks.texts.text_transformer import TextTransformer
from autoopt.strategies.networks.untraced import UntracedArtifact
from autoopt.strategies.shrinking.prune import Prune
from autoopt.strategies.shrinking.qat import Qat
from autoopt.strategies.tables.encode import Encode
from autoopt.strategies.tables.impute import Impute
from autoopt.strategies.tables.reduce import Reduce
from autoopt.strategies.tables.scale import Scale
from autoopt.strategies.text.ngram_bayes import NGramBayes
from autoopt.strategies.text.ngram_linear import NGramLinear
from autoopt.strategies.text.ngrams import NGrams
from autoopt.strategies.text.pretrained import Pretrained
from autoopt.strategies.text.text_clean import TextClean
from autoopt.strategies.text.tokens import TokenNumbers
from autoopt.strategies.text.wide_linear import WideLinearArtifact
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.decision_tree import DecisionTree
from autoopt.strategies.trees.extra_trees import ExtraTrees
from autoopt.strategies.trees.lightgbm import LightGBM
from autoopt.strategies.trees.random_forest import RandomForest
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

__all__ = [  # noqa: RUF022 - the order of decisions, not of letters
    "Impute",
    "Scale",
    "Encode",
    "Reduce",
    "Resolution",
    "TextClean",
    "NGrams",
    "TokenNumbers",
    "Pretrained",
    "LightGBM",
    "RandomForest",
    "ExtraTrees",
    "DecisionTree",
    "Linear",
    "LinearSVM",
    "MLP",
    "ResidualNet",
    "DepthwiseNet",
    "PatchNet",
    "Backbone",
    "NGramLinear",
    "NGramBayes",
    "EmbeddingBag",
    "TextCNN",
    "TextTransformer",
    "OwnModule",
    "AsBuilt",
    "Brought",
    "Augment",
    "ProgressiveResizing",
    "Distill",
    "BatchSize",
    "Bucketing",
    "Loss",
    "Optimizer",
    "Schedule",
    "Gradients",
    "Ema",
    "Precision",
    "MemoryFormat",
    "Storage",
    "Loader",
    "PinnedMemory",
    "Compile",
    "Parallel",
    "Prune",
    "Mirror",
    "Quantize",
    "Qat",
    "Ensemble",
    "STRATEGIES",
    "applies_reason",
    "artifacts",
    "build_declarations",
    "catalogue",
    "catalogue_for",
    "misfit",
    "models",
    "stand_ins",
    "twin_values",
]

MODEL = "model"
"""The family's dimension that everything else hangs on."""


def _exported(name: str) -> object:
    return globals().get(name)


STRATEGIES: tuple[type[Strategy], ...] = tuple(
    found
    for found in map(_exported, __all__)
    if isinstance(found, type) and issubclass(found, Strategy) and not inspect.isabstract(found)
)
"""Every strategy, in the order of the export list."""


def models() -> Mapping[str, type[Model]]:
    """The options of the `model` dimension, by name."""
    return {s.name: s for s in STRATEGIES if issubclass(s, Model)}


def artifacts() -> Mapping[str, type[Artifact]]:
    """The kinds of artifact that models leave, by the name under which a store entry holds them."""
    every = (
        TreesArtifact,
        LinearArtifact,
        WideLinearArtifact,
        NetworkArtifact,
        ExportedArtifact,
        UntracedArtifact,
        BroughtArtifact,
    )
    return {a.kind: a for a in every}


@cache
def catalogue() -> Catalogue:
    """What a space may name: the model's dimension, then every strategy's fields."""
    names = tuple(models())
    model = Declaration(
        name=MODEL,
        domain=Choice(values=names),
        default=names[0],
        strategy=MODEL,
        stage="train",
        summary="what learns",
        required=True,
    )
    return Catalogue([model, *(d for strategy in STRATEGIES for d in declarations(strategy))])


def catalogue_for(task: TaskFacts) -> Catalogue:
    """The catalogue, and the dimensions that a module of the user's own declares."""
    own = build_declarations(task)
    return Catalogue([*catalogue().declarations.values(), *own]) if own else catalogue()


def declarations(strategy: type[Strategy]) -> tuple[Declaration, ...]:
    """A strategy's fields; NETWORKS, ANY_SIZE and the like in their conditions become the names of such models."""
    of_texts = {name: m for name, m in models().items() if Modality.TEXT in m.modalities}
    groups: Mapping[tuple[Value, ...], tuple[Value, ...]] = {
        NETWORKS: tuple(name for name, m in models().items() if m.learns_in_steps),
        ANY_SIZE: tuple(name for name, m in models().items() if m.any_size),
        COUNTING: tuple(name for name, m in of_texts.items() if m.counts_ngrams),
        SEQUENCES: tuple(name for name, m in of_texts.items() if not m.counts_ngrams),
    }

    def named(condition: Condition) -> Condition:
        return tuple((name, groups.get(values, values)) for name, values in condition)

    return tuple(dataclasses.replace(d, when=named(d.when)) for d in strategy.declarations())


def applies_reason(task: TaskFacts, slot: Slot) -> Callable[[str, Value | None], str | None]:
    """Why a value of a field cannot be used for this task on this slot, for `restrict`; None where it can.

    For the value None: why the field means nothing here at all, such as `encode` without a category column.
    """
    members = models()
    owners = {d.name: s for s in STRATEGIES for d in declarations(s)}

    def reason(name: str, value: Value | None) -> str | None:
        if name.startswith(f"{ENSEMBLE}.") or (name, value) == (MODEL, ENSEMBLE):  # what was built can be built again
            return None
        if name == MODEL:
            return members[str(value)].applies(task, slot) if value is not None else None
        if name.startswith(f"{BUILD}."):  # the user's own: what is declared applies
            return None
        strategy = owners[name]
        whole = strategy.applies(task, slot)
        if whole is not None or value is None:
            return whole
        if name != strategy.name:
            return strategy.field_value_applies(name.partition(".")[2], value, task)
        return strategy.value_applies(value, task, slot)

    return reason


def stand_ins() -> Mapping[str, tuple[Value, ...]]:
    """Fields of which known-good recipes take another value where theirs does not apply, and which."""
    return {strategy.name: strategy.stand_ins for strategy in STRATEGIES if strategy.stand_ins}


def twin_values(recipe: Recipe) -> tuple[str, ...]:
    """Values of `quantize` that make the quantized twin of this recipe's model, best first; none for linear models.

    Of an ensemble: MEMBERS where one of its members has a quantized form, MEMBERS_FP16 too where one is a network.
    """
    if is_ensemble(recipe):
        members = [m.recipe for m in members_of(recipe)]
        forms = {form for member in members for form in (member.get("quantize", "none"), *twin_values(member))}
        if not forms - {"none"}:
            return ()
        return (MEMBERS, MEMBERS_FP16) if FP16 in forms else (MEMBERS,)
    model = models()[str(recipe[MODEL])]
    return twin_choice(model.artifact_kind, convolves=model.convolves)
