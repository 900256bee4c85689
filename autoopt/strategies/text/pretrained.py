"""What a text network's embeddings begin with."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

from autoopt.space import Untold
from autoopt.space.domains import Value
from autoopt.strategies.base import SEQUENCES, Stage, Strategy, Topic, choice
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

NONE: Final = "none"
FROZEN: Final = "frozen"
TUNED: Final = "tuned"


@final
@dataclass(frozen=True, kw_only=True)
class Pretrained(Strategy):
    """Word vectors from a file (`--embeddings`: GloVe's or word2vec's text form) as embeddings of a text network.

    * none: embeddings begin by chance.
    * frozen: each word keeps its vector, and what is learned is a projection to the network's width. Words that the
      file lacks are zeros. Few weights to learn: for some hundred to some thousand texts.
    * tuned: embeddings begin with the vectors and are learned on; words that the file lacks begin by chance. They have
      the file's dimension, projected where the network's width is another.

    When it helps: fewer texts than it takes to learn what words mean. In the deployed graph the projection is done
    already, so that size and latency are those of the network's width. A word that the file does not know as it is
    written gets the vector of its lower-case form, or else of its capitalized one.
    Reference: Pennington, Socher, Manning 2014, "GloVe: Global Vectors for Word Representation"; Mikolov et al. 2013.
    """

    name: ClassVar[str] = "pretrained"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.PREPROCESSING
    when: ClassVar = {"model": SEQUENCES, "tokens": ("words",)}

    form: str = choice(NONE, FROZEN, TUNED, main=True, help="what embeddings of words begin with, and whether it stays")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        if value != NONE and task.embeddings is None:
            return Untold("no file of word vectors was given: --embeddings FILE")
        return None
