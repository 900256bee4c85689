"""Words cut into pieces: which pieces there are, and their numbers in the graph.

Byte-pair encoding learns them from the training texts' words. Texts are then cut greedily, the longest piece that fits
first: one regular expression of the runtime's Tokenizer does that, as it takes the longest of what it can match. Pieces
that are cut so serve a model as well as replayed merges do (Uzan et al. 2024, "Greed is All You Need").
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.runtime import Session
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.text.tokenizer import (
    FIRST,
    PADDING,
    UNKNOWN,
    Splitter,
    Texts,
    emit_numbers,
    text_batches,
    without_last,
)

MOST_INSTRUCTIONS: Final = 12_000
"""Of the expression that pieces are matched by: one for each, and one for each byte that they do not begin alike with.

With 20,000 the runtime's matcher (RE2) has no memory left for it, says so at every call, and is slower.
"""
LONGEST: Final = 16
"""Characters of a piece, at most."""
_LONGEST_WORD: Final = 64  # that is learned from: what is longer is no word, and would take minutes
_NUMBERS: Final = "numbers"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """Pieces of words, each with a number where it begins a word and another inside one.

    The k-th piece is FIRST + k where it begins a word, and inside one as many more as there are pieces; `numbers`
    says which number of the vocabulary each of these is.
    """

    pieces: tuple[str, ...]
    numbers: NDArray[np.int64]  # (FIRST + 2 x pieces,): PADDING, UNKNOWN or a number of the vocabulary

    @property
    def count(self) -> int:
        """Numbers of the vocabulary, from FIRST on."""
        return int(np.count_nonzero(self.numbers >= FIRST))

    def emit(self, graph: GraphBuilder, tokens: str) -> str:
        """Numbers of tokens (rows, tokens); PADDING stands in place of what parts words."""
        table = graph.constant(self.numbers, name="numbers_of_pieces")
        return graph.add("Gather", table, _emit_places(graph, tokens, self.pieces))


def fit_pieces(
    texts: Texts, splitter: Splitter, words: Counter[str], *, least: int, most: int
) -> tuple[Splitter, Pieces, int]:
    """What cuts texts into pieces of `words`, their numbers, and how many of them the longest text has.

    Of pieces in `least` texts or more, at most so many have a number, those of the most texts.
    """
    pieces = learned_pieces(words, most)
    # Sorted: RE2 shares the beginnings of neighbours
    cutting = replace(splitter, unit="subwords", pieces=tuple(sorted(piece for piece in pieces if len(piece) > 1)))
    rows_with, longest = _frequencies(texts, cutting, pieces)
    order = np.argsort(-rows_with, kind="stable")
    kept = order[rows_with[order] >= least][:most]
    numbers = np.full(FIRST + 2 * len(pieces), UNKNOWN, dtype=np.int64)
    numbers[:FIRST] = PADDING  # what stands between words is none
    numbers[FIRST + kept] = FIRST + np.arange(len(kept))
    return cutting, Pieces(pieces=pieces, numbers=numbers), longest


def learned_pieces(words: Counter[str], most: int) -> tuple[str, ...]:
    """Characters, and the pieces that are learned by joining them: at most so many, the same for the same words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # of the extra `subwords`

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads would outlive this, and processes are forked after it
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")  # never within a word
    below = LONGEST + 1
    trainer = trainers.BpeTrainer(vocab_size=most, min_frequency=2, max_token_length=below, show_progress=False)
    counted = sorted((word, count) for word, count in words.items() if len(word) <= _LONGEST_WORD)
    tokenizer.train_from_iterator(((word + " ") * count for word, count in counted), trainer)
    numbers = tokenizer.get_vocab()
    return tuple(_matched_at_once(sorted(numbers, key=numbers.__getitem__)))


def _matched_at_once(pieces: Iterable[str]) -> Iterable[str]:
    """The pieces in their order while the runtime's matcher holds them; single characters need nothing of it."""
    beginnings: set[str] = set()
    instructions = 0
    for piece in pieces:
        if len(piece) > 1:
            fresh = {piece[:end] for end in range(1, len(piece) + 1)} - beginnings
            beginnings |= fresh
            instructions += 1 + sum(len(beginning[-1].encode()) for beginning in fresh)
        if instructions > MOST_INSTRUCTIONS:
            return
        yield piece


def _emit_places(graph: GraphBuilder, tokens: str, pieces: tuple[str, ...]) -> str:
    """Which piece a token is, and whether it begins a word: as an index of `Pieces.numbers`."""
    place = emit_numbers(graph, tokens, pieces)
    is_piece = graph.add(
        "Cast", graph.add("Greater", place, graph.constant(UNKNOWN, np.int64)), to=onnx.TensorProto.INT64
    )
    first, start, end, columns = (graph.constant([k], np.int64) for k in (1, 0, -1, 1))
    before = graph.add(  # no piece comes first: a column of '' stands before each text
        "Concat",
        graph.add("Slice", is_piece, start, first, columns),
        graph.add("Slice", is_piece, start, end, columns),
        axis=1,
    )
    inside = graph.add("Mul", is_piece, before)
    return graph.add("Add", place, graph.add("Mul", inside, graph.constant(len(pieces), np.int64)))


def _frequencies(texts: Texts, splitter: Splitter, pieces: tuple[str, ...]) -> tuple[NDArray[np.int64], int]:
    """(in how many texts each place from FIRST on is, pieces of the longest text)."""
    graph = GraphBuilder("pieces")
    places = without_last(graph, _emit_places(graph, splitter.emit(graph), pieces))
    graph.output(_NUMBERS, places, np.int64, ("rows", "tokens"))
    session = Session(graph.build().SerializeToString())
    size, longest = FIRST + 2 * len(pieces), 0
    rows_with = np.zeros(size, dtype=np.int64)
    for rows in text_batches(texts):
        found = session.run_all(splitter.feed(texts[rows]))[_NUMBERS]
        longest = max(longest, int((found >= FIRST).sum(axis=1).max()))
        different = np.unique(found + size * np.arange(len(found))[:, None])
        rows_with += np.bincount(different % size, minlength=size)
    return rows_with[FIRST:], longest
