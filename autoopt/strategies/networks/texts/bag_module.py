"""The network of `embedding_bag`."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoopt.strategies.networks.texts.words import PADDING, Start, Words, head, max_of, mean_of, present

HASH_FACTOR = 116_049_371
"""Of fastText's n-gram hash. Codes stay far below 2^63 / HASH_FACTOR, so products never overflow."""


def ngram_buckets(codes: Tensor, n: int, buckets: int) -> Tensor:
    """The bucket of the n-gram that starts at each token, int64 (rows, length): 1 to `buckets`, 0 where none starts.

    n-grams that reach beyond a row's last token are none.
    """
    found = codes
    following = codes
    for _ in range(n - 1):
        following = F.pad(following[:, 1:], (0, 1), value=PADDING)
        found = (found * HASH_FACTOR + following) % buckets
    return torch.where(following != PADDING, found + 1, torch.zeros_like(found))


@final
class Bag(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Embeddings of tokens and of hashed n-grams, pooled over the text; hidden layers; logits."""

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        pooling: str,
        ngrams: int,
        buckets: int,
        depth: int,
        outputs: int,
        dropout: float,
        word_dropout: float,
        start: Start | None = None,
    ) -> None:
        super().__init__()
        self.words = Words(vocabulary, width, word_dropout, start=start)
        self.grams = Words(buckets + 1, width) if ngrams > 1 else None
        self.ngrams = ngrams
        self.buckets = buckets
        self.poolings = {"mean": (mean_of,), "max": (max_of,), "mean_max": (mean_of, max_of)}[pooling]
        self.head = head(width * len(self.poolings), width, depth, outputs, dropout)

    def forward(self, codes: Tensor) -> Tensor:
        codes = self.words.dropped(codes)
        parts = [(self.words.looked_up(codes), present(codes))]
        if self.grams is not None:
            for n in range(2, self.ngrams + 1):
                grams = ngram_buckets(codes, n, self.buckets)
                parts.append((self.grams(grams), present(grams)))
        logits: Tensor = self.head(torch.cat([pool(parts) for pool in self.poolings], 1))
        return logits
