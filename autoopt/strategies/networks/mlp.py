"""A residual multilayer perceptron for tables, with embeddings of categories."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.strategies.base import choice, real, whole
from autoopt.strategies.model import CODES, FEATURES, Artifact, Features, Prepared, TableData, Trained, TrainingContext
from autoopt.strategies.networks.learner import Network, target_moments
from autoopt.strategies.networks.mlp_graph import Architecture
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import FailureReason

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import Tensor

    from autoopt.strategies.learning.judge import Judge
    from autoopt.strategies.learning.source import Source
    from autoopt.strategies.networks.residual_mlp import ResidualMLP

WIDTH_MULTIPLE = 8
SCORING_ROWS = 8192
_MEAN_AS_IT_IS = 1.0
_SPREAD_AS_IT_IS = (0.25, 4.0)


def embedding_width(cardinality: int, scale: float = 1.0) -> int:
    """Numbers per code: min(50, 1.6 x cardinality^0.56), the rule of fast.ai, times `scale`; at least 1."""
    usual = min(50, round(1.6 * math.pow(cardinality, 0.56)))
    return max(1, round(usual * scale))


def standardisation(numbers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shift and scale (n,) that bring columns to mean 0 and deviation 1 where they are far from it.

    Left as they are: flags (only 0 and 1), and columns about centred and of about unit spread, as every scaler but
    `none` leaves them. Where that holds for all, the graph needs no nodes for it. It is not folded into the first
    matrix: with columns of different spread, one quantization range could not serve them all.
    """
    if len(numbers) == 0 or numbers.shape[1] == 0:
        return np.zeros(numbers.shape[1], np.float32), np.ones(numbers.shape[1], np.float32)
    mean = numbers.mean(axis=0, dtype=np.float64)
    spread = numbers.std(axis=0, dtype=np.float64)
    low, high = _SPREAD_AS_IT_IS
    flag = ((numbers == 0) | (numbers == 1)).all(axis=0)
    fine = flag | ((np.abs(mean) <= _MEAN_AS_IT_IS) & (((low <= spread) & (spread <= high)) | (spread == 0)))
    constant = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    shift = np.where(fine, 0.0, mean).astype(np.float32)
    scale = np.where(fine | constant, 1.0, np.maximum(spread, 1e-30)).astype(np.float32)
    return shift, scale


@final
@dataclass(frozen=True, kw_only=True)
class MLP(Network):
    """A residual multilayer perceptron (Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data").

    Numbers, and an embedding for each category with `encode: embed`, through a linear layer and `depth` blocks of
    linear → normalization → activation → dropout → linear with a skip. Helps on smooth targets, many classes and in
    ensembles beside trees. Quantizes well: relu and batch normalization give a graph of Gemm, Relu and Add only.

    width 16 to 1024 units, rounded to a multiple of 8; depth 1 to 6 blocks; dropout 0 to 0.7; epochs at most 500, fewer
    when the valid metric has not improved for `patience` epochs; embedding_scale 0.25 to 2 times the usual width.
    """

    name: ClassVar[str] = "mlp"
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.TABULAR,)
    artifact_kind: ClassVar[str] = "network"  # it writes its graph itself: smaller than a traced one, and in no time
    input_names: ClassVar[tuple[str, ...]] = (FEATURES, CODES)
    field_when: ClassVar = {"embedding_scale": {"encode": ("embed",)}}

    width: int = whole(256, low=16, high=1024, log=True, help="units of each layer, rounded to a multiple of 8")
    depth: int = whole(2, low=1, high=6, help="residual blocks of two layers")
    dropout: float = real(0.1, low=0.0, high=0.7, help="share of a block's units left out in each step")
    normalization: str = choice("batch", "layer", "none", help="batch costs nothing once exported")
    activation: str = choice("relu", "silu", "gelu", help="relu is the fastest, most of all in int8")
    epochs: int = whole(40, low=1, high=500, log=True, help="passes over the training rows, at most")
    patience: int = whole(8, low=1, high=100, log=True, help="epochs without a better valid metric before the end")
    embedding_scale: float = real(1.0, low=0.25, high=2.0, log=True, help="width of embeddings, times the usual rule")

    def shape(self, facts: TaskFacts, features: Features) -> Architecture:
        """The network's shape for these features."""
        return Architecture(
            inputs=features.numbers.shape[1],
            cardinalities=features.cardinalities,
            embedding_widths=tuple(embedding_width(c, self.embedding_scale) for c in features.cardinalities),
            width=max(WIDTH_MULTIPLE * round(self.width / WIDTH_MULTIPLE), 2 * WIDTH_MULTIPLE),
            depth=self.depth,
            outputs=len(facts.classes) if facts.kind.classifies else 1,
            classifies=facts.kind.classifies,
            normalization=self.normalization,
            activation=self.activation,
        )

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        _check(data)
        with self.learning(data, context) as (network, judge, learned):
            scores = judge.scores(network)
        artifact = self.artifact(network, data)
        return Trained(artifact=artifact, valid_scores=scores, notes=learned.notes, earlier_s=learned.earlier_s)

    def untrained(self, data: TableData, context: TrainingContext) -> Artifact | None:
        import torch

        from autoopt.strategies.learning.training_loop import settled

        _check(data)
        with settled(context.slot, context.seed), torch.no_grad():
            network = self.build(data)
            for parameter in network.parameters():
                if parameter.ndim == 1:  # fresh scales are all alike, and equal constants are stored once
                    parameter.uniform_(0.5, 1.5)
        return network.artifact()

    def build(self, data: TableData) -> "ResidualMLP":
        """The network with random weights, and what it takes from the data before it learns."""
        import torch

        from autoopt.strategies.networks.residual_mlp import ResidualMLP

        network = ResidualMLP(self.shape(data.facts, data.train), self.dropout)
        shift, scale = standardisation(data.train.numbers)
        network.shift.copy_(torch.from_numpy(shift))
        network.scale.copy_(torch.from_numpy(scale))
        if not data.facts.kind.classifies:
            mean, spread = target_moments(data)
            network.target_shift.fill_(mean)
            network.target_scale.fill_(spread)
        return network

    def inputs(self, prepared: Prepared) -> "tuple[Tensor, ...]":
        import torch

        if not isinstance(prepared, Features):
            raise TypeError(f"an mlp takes Features, not {type(prepared).__name__}")
        # Copies: arrays read from a store may be read-only, which torch warns of.
        return torch.tensor(prepared.numbers), torch.tensor(prepared.codes)

    def target(self, data: TableData) -> "Tensor":
        import torch

        if data.facts.kind.classifies:
            return super().target(data)
        shift, scale = (float(np.float32(moment)) for moment in target_moments(data))  # as the network keeps them
        return torch.tensor(((data.train_target - shift) / scale).astype(np.float32)[:, None])

    def source(self, data: TableData, context: TrainingContext, device: "torch.device") -> "Source":
        """The train part on the device, whole."""
        from autoopt.strategies.learning.source import TensorSource

        inputs = tuple(values.to(device) for values in self.inputs(data.train))
        return TensorSource(inputs, self.target(data).to(device))

    def judge(self, data: TableData, device: "torch.device") -> "Judge":
        from autoopt.strategies.learning.judge import Judge, tensor_parts, valid_metric
        from autoopt.strategies.networks.residual_mlp import network_scores

        value, greater_is_better = valid_metric(data)
        inputs = tuple(values.to(device) for values in self.inputs(data.valid))
        return Judge(
            parts=tensor_parts(inputs, rows=SCORING_ROWS),
            scores_of=network_scores,
            score=value,
            greater_is_better=greater_is_better,
        )

    def artifact(self, network: "ResidualMLP", data: TableData) -> Artifact:
        return network.artifact()


def _check(data: TableData) -> None:
    """Raises StageFailure for what a network cannot learn from."""
    for part, features in (("train", data.train), ("valid", data.valid)):
        bad = int((~np.isfinite(features.numbers)).any(axis=1).sum())
        if bad:
            message = f"{bad} of {features.rows} {part} rows have missing or infinite numbers"
            raise StageFailure(FailureReason.NOT_FINITE, f"{message}: a network needs an `impute` other than native")
    if data.train.rows < 2:
        raise StageFailure(FailureReason.ERROR, f"a network needs at least 2 train rows, and got {data.train.rows}")
