"""Parts of text networks: embeddings of tokens, and means and maxima over the tokens that are there."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PADDING = 0
UNKNOWN = 1


def present(codes: Tensor) -> Tensor:
    """1.0 where a token is, 0.0 where padding is: float32 (rows, length, 1)."""
    return (codes != PADDING).unsqueeze(-1).float()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each row, (rows, length, n) → (rows, n); zeros for a row without one."""
    return mean_of([(values, mask)])


def mean_of(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The same over several (values, mask) of the same rows, all their tokens together.

    They are not concatenated: pruning would take the lengths of the parts for channels.
    """
    total: Tensor = sum((values * mask).sum(1) for values, mask in parts)
    count: Tensor = sum(mask.sum(1) for _, mask in parts)
    return total / count.clamp(min=1.0)


def max_of(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Maximum over the tokens of each row, of several (values, mask) together; zeros for a row without one."""
    # Not minus infinity: times 0 it would be NaN in rows without a token.
    greatest = [(values * mask + (mask - 1.0) * 1e4).amax(1) for values, mask in parts]
    some = [mask.amax(1) for _, mask in parts]
    return reduce(torch.maximum, greatest) * reduce(torch.maximum, some)


@final
@dataclass(frozen=True, kw_only=True)
class Start:
    """What embeddings begin with, in the place of chance."""

    table: Tensor  # (vocabulary, dimension); NaN where a token has no vector
    fixed: bool  # they stay as they are: only what is made of them is learned


@final
class FixedTable(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Embeddings that nothing changes: no parameter of the network, so that no optimizer, decay or pruning has them."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", table)

    def forward(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.weight)


@final
class Words(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Embeddings of tokens, (rows, length) → (rows, length, width); zeros for padding.

    While it learns, a share of the tokens is taken for unknown (Iyyer et al. 2015, "Deep Unordered Composition").
    Embeddings with a start have its dimension, and are projected where the width is another; fixed ones always are.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        word_dropout: float = 0.0,
        spread: float = 0.1,
        start: Start | None = None,
    ) -> None:
        super().__init__()
        dimension = width if start is None else start.table.shape[1]
        fixed = start is not None and start.fixed
        self.word_dropout = word_dropout
        self.projection = nn.Linear(dimension, width, bias=False) if fixed or dimension != width else None
        self.embedding = _fixed(start) if start and fixed else _learned(vocabulary, dimension, spread, start)

    def forward(self, codes: Tensor) -> Tensor:
        return self.looked_up(self.dropped(codes))

    def looked_up(self, codes: Tensor) -> Tensor:
        """The embeddings of all of these tokens."""
        found: Tensor = self.embedding(codes)
        return found if self.projection is None else self.projection(found)

    def project_once(self) -> None:
        """Put projected embeddings in the place of the projection: a smaller table, and nothing to compute."""
        if self.projection is None:
            return
        with torch.no_grad():
            table = self.projection(self.embedding.weight)
        self.embedding = nn.Embedding.from_pretrained(table, padding_idx=PADDING)
        self.projection = None

    def dropped(self, codes: Tensor) -> Tensor:
        """The codes, a share of the tokens unknown while it learns."""
        if not self.training or self.word_dropout == 0.0:
            return codes
        out = (torch.rand(codes.shape, device=codes.device) < self.word_dropout) & (codes != PADDING)
        return codes.masked_fill(out, UNKNOWN)


def projected(network: nn.Module) -> nn.Module:
    """The network, or where embeddings are projected a copy that has them so in its table."""
    if not any(isinstance(part, Words) and part.projection is not None for part in network.modules()):
        return network
    changed = copy.deepcopy(network)
    for part in changed.modules():
        if isinstance(part, Words):
            part.project_once()
    return changed


def _learned(vocabulary: int, dimension: int, spread: float, start: Start | None) -> nn.Embedding:
    """Drawn by chance where there is no start; words without a vector are as long as those that have one."""
    embedding = nn.Embedding(vocabulary, dimension, padding_idx=PADDING)
    known = None if start is None else ~start.table.isnan().any(1)
    if start is not None and known is not None and known.any():
        spread = float(start.table[known].square().mean().sqrt())
    with torch.no_grad():
        embedding.weight.normal_(std=spread)
        if start is not None and known is not None:
            embedding.weight[known] = start.table[known]
        embedding.weight[PADDING] = 0.0
    return embedding


def _fixed(start: Start) -> FixedTable:
    """Words without a vector are zeros: they say nothing."""
    return FixedTable(start.table.nan_to_num(0.0))


def head(inputs: int, width: int, depth: int, outputs: int, dropout: float) -> nn.Sequential:
    """`depth` hidden layers of `width` units with dropout before each layer, and the output layer."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Dropout(dropout), nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(inputs, outputs))
