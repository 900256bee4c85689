"""Parts of text networks: embeddings of tokens, and means and maxima over the tokens that are there."""

from collections.abc import Sequence
from functools import reduce
from typing import final

import torch
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
class Words(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Embeddings of tokens, (rows, length) → (rows, length, width); zeros for padding.

    While it learns, a share of the tokens is taken for unknown (Iyyer et al. 2015, "Deep Unordered Composition").
    """

    def __init__(self, vocabulary: int, width: int, word_dropout: float = 0.0, spread: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.word_dropout = word_dropout
        with torch.no_grad():
            self.embedding.weight.normal_(std=spread)
            self.embedding.weight[PADDING] = 0.0

    def forward(self, codes: Tensor) -> Tensor:
        found: Tensor = self.embedding(self.dropped(codes))
        return found

    def dropped(self, codes: Tensor) -> Tensor:
        """The codes, a share of the tokens unknown while it learns."""
        if not self.training or self.word_dropout == 0.0:
            return codes
        out = (torch.rand(codes.shape, device=codes.device) < self.word_dropout) & (codes != PADDING)
        return codes.masked_fill(out, UNKNOWN)


def head(inputs: int, width: int, depth: int, outputs: int, dropout: float) -> nn.Sequential:
    """`depth` hidden layers of `width` units with dropout before each layer, and the output layer."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Dropout(dropout), nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(inputs, outputs))
