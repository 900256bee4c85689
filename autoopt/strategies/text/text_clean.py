"""What of a text counts, before it is cut into tokens."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, final

from autoopt.strategies.base import Stage, Strategy, choice
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

Unit = Literal["words", "characters", "subwords"]
"""What a token is."""
MARKUP = r"</?[A-Za-z!][^<>]*>|&(?:[A-Za-z]{1,10}|#[0-9]{1,7});"
"""HTML tags, comments and entities. What stands between < and > holds neither, so that no text takes quadratic time."""
KEPT = {"words_and_digits": r"\p{L}\p{M}\p{N}", "words": r"\p{L}\p{M}", "all": r"\S"}
"""For each filter, the characters that tokens are made of, as RE2 writes them inside a class."""
_CATEGORIES = {"words_and_digits": "LMN", "words": "LM", "all": "LMNPSC"}
"""The same as first letters of Unicode's categories; what is white space is none of them."""


@final
@dataclass(frozen=True, kw_only=True)
class TextClean(Strategy):
    """Which characters of a text count, and how.

    What: `words_and_digits` keeps letters and digits of any script, `words` letters alone; all else parts tokens.
    `all` keeps every character, and tokens of words end at spaces ("good!" is not "good"). `html` takes out tags and
    entities first. `case: lower` makes one token of "The" and "the".
    Helps: fewer tokens that mean the same; `keep` and `all` where capitals or punctuation tell something (spam, code,
    moods). Units: none.
    Reference: Manning, Raghavan, Schütze 2008, Introduction to Information Retrieval, ch. 2.2.
    """

    name: ClassVar[str] = "text_clean"
    stage: ClassVar[Stage] = "prepare"

    characters: str = choice("words_and_digits", "words", "all", main=True, help="characters that tokens are made of")
    html: bool = choice(True, False, help="whether tags and entities of HTML are taken out")
    case: str = choice("lower", "keep", help="letters as they are, or all lower case")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return None if task.text_columns else "the task has no free text that is learned from"

    @property
    def word_separators(self) -> tuple[str, ...]:
        """What stands between words: regular expressions of RE2, each in its turn."""
        rest = f"[^{KEPT[self.characters]}]+"
        return (MARKUP, rest) if self.html else (rest,)

    def is_character(self, token: str) -> bool:
        """Whether a token of `token_pattern` is a kept character; else it is markup, or a run of others."""
        kept = _CATEGORIES[self.characters]
        return len(token) == 1 and unicodedata.category(token)[0] in kept and not token.isspace()

    def token_pattern(self, pieces: Iterable[str] = ()) -> str:
        """What is one token where words are not: the longest of `pieces` that fits, one kept character, or others.

        Of characters that are not kept a run is one token; it ends before what may begin a tag or an entity.
        """
        kept = KEPT[self.characters]
        others = (MARKUP, f"[^<&{kept}]+", "[<&]") if self.html else (f"[^{kept}]+",)
        return "|".join([*map(_literal, pieces), f"[{kept}]", *others])


def _literal(text: str) -> str:
    """As RE2 reads it: itself."""
    return "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{{{ord(c):x}}}" for c in text)
