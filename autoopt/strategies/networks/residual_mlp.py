"""The residual MLP as a torch module: what is trained. Its graph is written in `network`, from the same weights."""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from autoopt.strategies.networks.mlp_graph import NORMALIZATION_EPSILON, Architecture, NetworkArtifact, Weights

_ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


def _normalization(kind: str, width: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm1d(width, eps=NORMALIZATION_EPSILON)
    return nn.LayerNorm(width, eps=NORMALIZATION_EPSILON) if kind == "layer" else nn.Identity()


@final
class Block(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """x + outer(dropout(activation(norm(inner(x)))))."""

    def __init__(self, architecture: Architecture, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(architecture.width, architecture.width)
        self.norm = _normalization(architecture.normalization, architecture.width)
        self.activation = _ACTIVATIONS[architecture.activation]()
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(architecture.width, architecture.width)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.outer(self.dropout(self.activation(self.norm(self.inner(hidden)))))


@final
class ResidualMLP(nn.Module):  # type: ignore[misc]
    """Numbers (rows, n) and codes (rows, m) in; logits (rows, classes) or the standardised value (rows, 1) out.

    The buffers `shift` and `scale` (n,) standardise the numbers; `target_shift` and `target_scale` (1,) undo the
    standardisation of a regression's target.
    """

    shift: Tensor
    scale: Tensor
    target_shift: Tensor
    target_scale: Tensor

    def __init__(self, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.embedding_widths
        pairs = zip(architecture.cardinalities, widths, strict=True)
        self.embeddings = nn.ModuleList(nn.Embedding(cardinality, width) for cardinality, width in pairs)
        self.stem = nn.Linear(architecture.inputs + sum(widths), architecture.width)
        self.stem_norm = _normalization(architecture.normalization, architecture.width)
        self.stem_activation = _ACTIVATIONS[architecture.activation]()
        self.blocks = nn.ModuleList(Block(architecture, dropout) for _ in range(architecture.depth))
        self.head = nn.Linear(architecture.width, architecture.outputs)
        self.register_buffer("shift", torch.zeros(architecture.inputs))
        self.register_buffer("scale", torch.ones(architecture.inputs))
        self.register_buffer("target_shift", torch.zeros(1))
        self.register_buffer("target_scale", torch.ones(1))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        embedded = [table(codes[:, index]) for index, table in enumerate(self.embeddings)]
        inputs = torch.cat([(numbers - self.shift) / self.scale, *embedded], dim=1)
        hidden: Tensor = self.stem_activation(self.stem_norm(self.stem(inputs)))
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden)

    def artifact(self) -> NetworkArtifact:
        """The weights as they are now, pruned or not; counters of batches seen are left out."""
        state = {name: value for name, value in self.state_dict().items() if value.is_floating_point()}
        weights: Weights = {name: value.detach().cpu().numpy().copy() for name, value in state.items()}
        architecture = replace(self.architecture, width=int(self.stem.out_features))
        return NetworkArtifact(architecture=architecture, weights=weights)


def network_scores(network: ResidualMLP, inputs: tuple[Tensor, ...]) -> Tensor:
    """Probabilities (rows, classes) or values (rows, 1) in the target's unit, of numbers and codes."""
    outputs: Tensor = network(*inputs)
    if network.architecture.classifies:
        return outputs.softmax(1)
    return outputs * network.target_scale + network.target_shift
