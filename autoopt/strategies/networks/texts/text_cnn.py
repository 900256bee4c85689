"""Convolutions over embeddings, after Kim."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.strategies.base import real, whole
from autoopt.strategies.model import TrainingData
from autoopt.strategies.networks.texts.text_network import TextNetwork, output_count, rounded_width, start_of

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class TextCNN(TextNetwork):
    """Parallel convolutions 2 to `widest` tokens wide over learned embeddings, and the maximum of each over the text.

    When it helps: phrases that decide wherever they stand: sentiment, questions, short texts. Slower than a bag,
    faster than a transformer. Cost: vocabulary x embedding x 4 bytes, and about 14 x embedding x width multiplications
    a token with `widest` 5. Missing texts are texts without a token.
    Reference: Kim 2014, "Convolutional Neural Networks for Sentence Classification".

    width 16 to 512 filters of each convolution, rounded to a multiple of 8; embedding 16 to 512 numbers, likewise;
    widest 2 to 5 tokens; depth 0 to 2 hidden layers after pooling; dropout 0 to 0.7, of embeddings and of what is
    pooled; word_dropout 0 to 0.5; epochs at most 200, fewer when the valid metric has not improved for `patience`
    epochs.
    """

    name: ClassVar[str] = "text_cnn"
    convolves: ClassVar[bool] = True

    width: int = whole(64, low=16, high=512, log=True, help="filters of each convolution, rounded to a multiple of 8")
    embedding: int = whole(64, low=16, high=512, log=True, help="numbers of each embedding, rounded to a multiple of 8")
    widest: int = whole(4, low=2, high=5, help="tokens that the widest convolution sees; the narrowest sees 2")
    depth: int = whole(0, low=0, high=2, help="hidden layers after pooling")
    dropout: float = real(0.3, low=0.0, high=0.7, help="share of embeddings and pooled units left out in each step")

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from autoopt.strategies.networks.texts.cnn_module import TextConvolutions

        return TextConvolutions(
            vocabulary=self.tokens(data.train).vocabulary,
            embedding=rounded_width(self.embedding),
            filters=rounded_width(self.width),
            widest=self.widest,
            depth=self.depth,
            outputs=output_count(data),
            dropout=self.dropout,
            word_dropout=self.word_dropout,
            start=start_of(data.train),
        )
