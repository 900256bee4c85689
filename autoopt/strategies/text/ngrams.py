"""Texts as weighted counts of n-grams."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.strategies.base import COUNTING, Stage, Strategy, choice, whole
from autoopt.strategies.text.text_clean import Unit
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

SPANS: Mapping[str, tuple[Unit, int, int]] = {
    "words_1_2": ("words", 1, 2),
    "words_1": ("words", 1, 1),
    "words_1_3": ("words", 1, 3),
    "characters_2_4": ("characters", 2, 4),
    "characters_3_5": ("characters", 3, 5),
}
"""For each choice: tokens are words or characters, the shortest and the longest n-gram in tokens."""


@final
@dataclass(frozen=True, kw_only=True)
class NGrams(Strategy):
    """How texts become counts of n-grams, for models that are linear in them.

    What: each n-gram of words, or of characters, that is in `min_count` training texts or more is a feature; of more
    than `most`, those in the most texts. `sublinear` makes 1 + log(count) of a count. `idf` weighs down what is in
    many texts: 1 + log((1 + texts) / (1 + texts with it)). Rows are then scaled to length 1. A text without a known
    n-gram is a row of zeros.
    Helps: words_1_2 for topics and moods; characters for names, misspelt text, and languages of long words.
    Ranges: most 1,000..50,000 n-grams, min_count 1..100 texts. Units: n-grams, texts.
    Reference: Salton & Buckley 1988 (term weighting); scikit-learn's TfidfVectorizer.
    """

    name: ClassVar[str] = "ngrams"
    stage: ClassVar[Stage] = "prepare"
    when: ClassVar = {"model": COUNTING}

    span: str = choice(*SPANS, main=True, help="what is counted: runs of so many words or characters")
    most: int = whole(20_000, low=1_000, high=50_000, log=True, help="n-grams that are counted, at most")
    min_count: int = whole(2, low=1, high=100, log=True, help="training texts that an n-gram has to be in")
    sublinear: bool = choice(True, False, help="whether a second and third time count for less")
    idf: bool = choice(True, False, help="whether n-grams of many texts weigh less")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.text_columns else "the task has no free text that is learned from"
