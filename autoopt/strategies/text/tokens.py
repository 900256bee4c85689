"""Texts as rows of token numbers."""

import importlib.util
from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import SEQUENCES, Stage, Strategy, choice, whole
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot


@final
@dataclass(frozen=True, kw_only=True)
class TokenNumbers(Strategy):
    """How texts become token numbers, for networks that read them in order.

    What: tokens are `words`, `characters` or `subwords`. Those in `min_count` training texts or more have a number; of
    more than `vocabulary`, those in the most texts. All others are one token, "unknown". Texts are cut at `max_tokens`,
    or at the longest training text where that is shorter; shorter texts are padded. A missing text is all padding.
    `subwords` are learned from the training texts by byte-pair encoding; a word becomes the longest of them that fit,
    from its start, and a piece that begins a word is not the same token as inside one. Needs tokenizers (the extra
    `subwords`) while it is learned; in the graph, one regular expression cuts words into them.
    Helps: words for topics and moods; characters for names and misspelt text, at more tokens a text; subwords for words
    that training did not see, languages of long or joined words, and a small vocabulary.
    Ranges: vocabulary 500..100,000 tokens, min_count 1..100 texts, max_tokens 16..2048. Units: tokens, texts.
    Reference: Zhang, Zhao, LeCun 2015, arXiv:1509.01626 (characters against words); Sennrich, Haddow, Birch 2016,
    arXiv:1508.07909 (byte-pair encoding).
    """

    name: ClassVar[str] = "tokens"
    stage: ClassVar[Stage] = "prepare"
    when: ClassVar = {"model": SEQUENCES}

    unit: str = choice("words", "characters", "subwords", main=True, help="what a token is")
    vocabulary: int = whole(20_000, low=500, high=100_000, log=True, help="tokens that have a number, at most")
    min_count: int = whole(2, low=1, high=100, log=True, help="training texts that a token has to be in")
    max_tokens: int = whole(128, low=16, high=2048, log=True, help="tokens of a text that are read, at most")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.text_columns else "the task has no free text that is learned from"

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        if value == "subwords" and importlib.util.find_spec("tokenizers") is None:
            return "it needs tokenizers: pip install 'autoopt[subwords]'"
        return None
