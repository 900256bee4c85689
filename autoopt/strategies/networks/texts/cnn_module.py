"""The network of `text_cnn`."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoopt.strategies.networks.texts.words import Start, Words, head, present


@final
class TextConvolutions(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Parallel convolutions over the embeddings, the maximum of each filter over the text, hidden layers, logits.

    Each window is centred on a token and sees zeros beyond both ends of the text, so that a text shorter than the
    widest window has its say as well, and padding is like the end of the text.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        embedding: int,
        filters: int,
        widest: int,
        depth: int,
        outputs: int,
        dropout: float,
        word_dropout: float,
        start: Start | None = None,
    ) -> None:
        super().__init__()
        self.words = Words(vocabulary, embedding, word_dropout, start=start)
        self.dropout = nn.Dropout(dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, filters, span) for span in range(2, widest + 1))
        self.head = head(filters * len(self.convolutions), filters, depth, outputs, dropout)

    def forward(self, codes: Tensor) -> Tensor:
        values = self.dropout(self.words(codes)).transpose(1, 2)
        mask = present(codes).transpose(1, 2)
        found = []
        for span, convolution in enumerate(self.convolutions, start=2):
            seen = convolution(F.pad(values, ((span - 1) // 2, span // 2)))
            # After relu nothing is below 0: the maximum over a text is that over its tokens, and 0 without any.
            found.append((F.relu(seen) * mask).amax(2))
        logits: Tensor = self.head(torch.cat(found, 1))
        return logits
