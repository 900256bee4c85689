"""The network of `text_transformer`."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoopt.strategies.networks.texts.words import Start, Words, masked_mean, present

FEED_FORWARD = 2
SPREAD = 0.02


@final
class Block(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Attention and a feed-forward pair, each behind a normalization and beside a skip (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Linear(width, FEED_FORWARD * width)
        self.feed_out = nn.Linear(FEED_FORWARD * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, attended: Tensor) -> Tensor:
        """`values` (rows, length, width), `attended` bool (rows, 1, 1, length)."""
        rows, length, _ = values.shape
        triple = self.attention(self.attention_norm(values)).reshape(rows, length, 3, self.heads, -1)
        query, key, value = triple.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        values = values + self.dropout(self.attention_out(mixed.transpose(1, 2).reshape(rows, length, -1)))
        fed = self.feed_out(self.dropout(F.gelu(self.feed(self.feed_norm(values)))))
        return values + self.dropout(fed)


@final
class Encoder(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Embeddings and learned positions, blocks, the mean over the tokens, logits."""

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        width: int,
        heads: int,
        depth: int,
        outputs: int,
        dropout: float,
        word_dropout: float,
        start: Start | None = None,
    ) -> None:
        super().__init__()
        self.words = Words(vocabulary, width, word_dropout, SPREAD, start)
        self.positions = nn.Parameter(torch.randn(length, width) * SPREAD)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(self, codes: Tensor) -> Tensor:
        length = codes.shape[1]
        mask = present(codes)
        # A row without a token attends to its first place: a softmax over nothing would be NaN.
        first = torch.arange(length, device=codes.device) == 0
        attended = ((codes != 0) | first)[:, None, None, :]
        values = self.dropout(self.words(codes) + self.positions[:length])
        for block in self.blocks:
            values = block(values, attended)
        logits: Tensor = self.output(self.dropout(masked_mean(self.norm(values), mask)))
        return logits
