"""A small transformer encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.strategies.base import choice, real, whole
from autoopt.strategies.model import TrainingData
from autoopt.strategies.networks.texts.text_network import (
    WIDTH_MULTIPLE,
    TextNetwork,
    output_count,
    rounded_width,
    start_of,
)

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class TextTransformer(TextNetwork):
    """A small transformer encoder: learned positions, normalization first, the mean over the tokens.

    When it helps: the meaning hangs on words far apart, and there are tens of thousands of texts or more to learn from;
    with fewer, a bag or convolutions are as good and far cheaper. Cost: about 8 x width x width multiplications a
    token and layer, and attention grows with the square of the length. Missing texts are texts without a token.
    Reference: Vaswani et al. 2017, "Attention Is All You Need"; Xiong et al. 2020, "On Layer Normalization in the
    Transformer Architecture".

    width 16 to 512 units, rounded to a multiple of 8 x heads; heads 1 to 8; depth 1 to 6 layers, their feed-forward
    part twice as wide; dropout 0 to 0.7; word_dropout 0 to 0.5; epochs at most 200, fewer when the valid metric has
    not improved for `patience` epochs.
    """

    name: ClassVar[str] = "text_transformer"

    width: int = whole(64, low=16, high=512, log=True, help="units of each token, rounded to a multiple of 8 x heads")
    heads: int = choice(4, 1, 2, 8, help="attention heads of each layer")
    depth: int = whole(2, low=1, high=6, help="layers of attention and feed-forward")
    dropout: float = real(0.1, low=0.0, high=0.7, help="share of units left out in each step")

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        from autoopt.strategies.networks.texts.transformer_module import Encoder

        tokens = self.tokens(data.train)
        return Encoder(
            vocabulary=tokens.vocabulary,
            length=tokens.codes.shape[1],
            width=rounded_width(self.width, WIDTH_MULTIPLE * self.heads),
            heads=self.heads,
            depth=self.depth,
            outputs=output_count(data),
            dropout=self.dropout,
            word_dropout=self.word_dropout,
            start=start_of(tokens),
        )

    def attention_heads(self) -> Mapping[str, int]:
        return {f"blocks.{layer}.attention": self.heads for layer in range(self.depth)}
