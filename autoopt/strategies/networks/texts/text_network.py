"""What the networks that read texts have in common: token numbers in, scores out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autoopt.errors import StageFailure
from autoopt.strategies.base import real, whole
from autoopt.strategies.learning.bucketing import Bucketing
from autoopt.strategies.model import CODES, Artifact, Prepared, Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.learner import Network
from autoopt.strategies.prepared import Tokens
from autoopt.strategies.text.tokenizer import FIRST
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import FailureReason

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import Tensor, nn

    from autoopt.strategies.learning.source import Source
    from autoopt.strategies.networks.texts.words import Start

WIDTH_MULTIPLE = 8


@dataclass(frozen=True, kw_only=True)
class TextNetwork(Network):
    """A network over token numbers (rows, length). Padding, 0, never changes the scores of a row."""

    modalities: ClassVar[tuple[Modality, ...]] = (Modality.TEXT,)
    input_names: ClassVar[tuple[str, ...]] = (CODES,)

    dropout: float = real(0.2, low=0.0, high=0.7, help="share of units left out in each step")
    word_dropout: float = real(0.0, low=0.0, high=0.5, help="share of tokens taken for unknown in each step")
    epochs: int = whole(8, low=1, high=200, log=True, help="passes over the training rows, at most")
    patience: int = whole(3, low=1, high=100, log=True, help="epochs without a better valid metric before the end")

    def inputs(self, prepared: Prepared) -> "tuple[Tensor, ...]":
        import torch

        # A copy: arrays read from a store may be read-only, which torch warns of.
        return (torch.tensor(self.tokens(prepared).codes),)

    def source(self, data: TrainingData[Any], context: TrainingContext, device: "torch.device") -> "Source":
        plain = super().source(data, context, device)
        return Bucketing.from_recipe(context.recipe).source(plain, lengths_of(self.tokens(data.train)))

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        trained = super().train(data, context)
        return replace(trained, notes=(*vector_notes(self.tokens(data.train), data.facts), *trained.notes))

    def artifact(self, network: "nn.Module", data: TrainingData[Any]) -> Artifact:
        """The weights as they were learned; in the graph embeddings are projected already, and padding is cut off."""
        from autoopt.strategies.networks.exported import ExportedArtifact
        from autoopt.strategies.networks.learner import arrays
        from autoopt.strategies.networks.texts.unpadded import unpadded
        from autoopt.strategies.networks.texts.words import projected

        found = super().artifact(projected(network), data)
        if not isinstance(found, ExportedArtifact):
            return found
        return replace(found, model=unpadded(found.model), weights=arrays(network))

    def free_dimensions(self, inputs: "tuple[Tensor, ...]") -> tuple[str, ...]:
        rows = super().free_dimensions(inputs)
        return rows if inputs[0].shape[1] == 1 else (*rows, "tokens")

    def tokens(self, prepared: Prepared) -> Tokens:
        """What preparing left. Raises StageFailure when it is no token numbers, or no text has a place for one."""
        if not isinstance(prepared, Tokens):
            message = f"{self.name} learns from token numbers, and the texts were prepared as {type(prepared).__name__}"
            raise StageFailure(FailureReason.ERROR, message)
        if prepared.codes.shape[1] == 0:
            raise StageFailure(FailureReason.ERROR, f"{self.name} needs room for at least one token in a text")
        return prepared


def lengths_of(tokens: Tokens) -> "Tensor":
    """Tokens of each text, int64 (rows,)."""
    import torch

    return torch.from_numpy((tokens.codes != 0).sum(axis=1))


def start_of(tokens: Tokens) -> "Start | None":
    """What the embeddings of these tokens begin with; None where by chance."""
    import torch

    from autoopt.strategies.networks.texts.words import Start

    return None if tokens.vectors is None else Start(table=torch.tensor(tokens.vectors), fixed=tokens.fixed)


def vector_notes(tokens: Tokens, facts: TaskFacts) -> tuple[str, ...]:
    """How many words have a vector to begin with."""
    if tokens.vectors is None or facts.embeddings is None:
        return ()
    known = int((~np.isnan(tokens.vectors[FIRST:, 0])).sum())
    return (f"{known:,} of {tokens.vocabulary - FIRST:,} words have a vector of {facts.embeddings.name}",)


def output_count(data: TrainingData[Any]) -> int:
    """Numbers that a network gives for each row."""
    return len(data.facts.classes) if data.facts.kind.classifies else 1


def rounded_width(width: int, multiple: int = WIDTH_MULTIPLE) -> int:
    """The nearest multiple, at least one of it: odd widths waste vector registers."""
    return max(multiple * round(width / multiple), multiple)
