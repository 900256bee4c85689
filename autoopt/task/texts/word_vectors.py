"""Vectors of words, as a snapshot keeps them: those of the words that the training texts may have."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

_MARKS: Final = re.compile(r"[<>&;]")  # that tags and entities begin and end with


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WordVectors:
    """Words in the order of their file, each with its vector."""

    words: tuple[str, ...]
    values: NDArray[np.float32]  # (words, dimension)
    _rows: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {word: row for row, word in enumerate(self.words)})

    def table(self, words: Sequence[str]) -> NDArray[np.float32]:
        """A vector for each word, float32 (words, dimension); NaN where there is none.

        A word that is not there as it is written gets the vector of its lower-case form, or else of its capitalized
        one: many files know one of them only.
        """
        found = np.full((len(words), self.values.shape[1]), np.nan, dtype=np.float32)
        for k, word in enumerate(words):
            row = next((self._rows[form] for form in spellings(word) if form in self._rows), None)
            if row is not None:
                found[k] = self.values[row]
        return found


def spellings(word: str) -> tuple[str, ...]:
    """How a file may write a word, the best first."""
    return word, word.lower(), word.capitalize()


def wanted_words(texts: Iterable[str]) -> frozenset[str]:
    """What the ways of cutting these texts make words of, in every spelling: more than any one of them makes."""
    chunks: set[str] = set()
    for text in texts:
        chunks.update(text.split())
    found: set[str] = set()
    every = " ".join(chunks)
    for pieces in (every, _MARKS.sub(" ", every), *(every.translate(kept) for kept in _FILTERS)):
        found.update(pieces.split())
    return frozenset(form for word in found for form in spellings(word))


class _Kept(dict[int, int]):
    """For str.translate: characters of these categories of Unicode stay, all others become spaces."""

    def __init__(self, categories: str) -> None:
        super().__init__()
        self._categories = categories

    def __missing__(self, code: int) -> int:
        kept = unicodedata.category(chr(code))[0] in self._categories
        self[code] = code if kept else ord(" ")
        return self[code]


_FILTERS: Final = (_Kept("LMN"), _Kept("LM"))
