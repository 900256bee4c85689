"""A bag of embeddings, after fastText."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.strategies.base import choice, real, whole
from autoopt.strategies.model import TrainingData
from autoopt.strategies.networks.texts.text_network import TextNetwork, output_count, rounded_width, start_of

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class EmbeddingBag(TextNetwork):
    """The mean (or maximum) of the embeddings of a text's tokens, and of its hashed n-grams; then a linear layer.

    When it helps: topics, where the words matter more than their order; the fastest of the text networks to train and
    to run. `ngrams` 2 or 3 see word order nearby, as "not good". Cost: the embeddings are most of its size,
    (vocabulary + buckets) x width x 4 bytes. Missing texts are texts without a token.
    Reference: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" (fastText).

    width 8 to 512 numbers of each embedding, rounded to a multiple of 8; depth 0 to 3 hidden layers of that width;
    ngrams 1 (single tokens) to 3; buckets 1,000 to 500,000 that n-grams are hashed into; dropout 0 to 0.7;
    word_dropout 0 to 0.5; epochs at most 200, fewer when the valid metric has not improved for `patience` epochs.
    """

    name: ClassVar[str] = "embedding_bag"
    field_when: ClassVar = {"buckets": {"embedding_bag.ngrams": (2, 3)}}

    width: int = whole(64, low=8, high=512, log=True, help="numbers of each embedding, rounded to a multiple of 8")
    depth: int = whole(0, low=0, high=3, help="hidden layers after pooling")
    pooling: str = choice("mean", "mean_max", "max", help="how the embeddings of a text become one")
    ngrams: int = choice(1, 2, 3, help="longest n-gram that has an embedding of its own, in tokens")
    buckets: int = whole(20_000, low=1_000, high=500_000, log=True, help="embeddings that n-grams are hashed into")
    dropout: float = real(0.2, low=0.0, high=0.7, help="share of the pooled and hidden units left out in each step")

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from autoopt.strategies.networks.texts.bag_module import Bag

        return Bag(
            vocabulary=self.tokens(data.train).vocabulary,
            width=rounded_width(self.width),
            pooling=self.pooling,
            ngrams=self.ngrams,
            buckets=self.buckets,
            depth=self.depth,
            outputs=output_count(data),
            dropout=self.dropout,
            word_dropout=self.word_dropout,
            start=start_of(data.train),
        )
