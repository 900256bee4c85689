"""Texts become tokens, and tokens numbers, by operators of one graph: for training and for serving alike.

The runtime's own Tokenizer (domain com.microsoft) cuts texts by regular expressions of RE2. Three of its habits shape
what is written here: it has no shape inference, and onnx's checker dies of a value without a type (so its output goes
straight into a Concat that has one); for a batch of empty texts it gives no column at all; StringNormalizer takes no
batch without a row. A column of '' before each text and one empty text below them mend all three.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.runtime import Session, graph_input_name
from autoopt.strategies.graph import RUNTIME_DOMAIN, GraphBuilder
from autoopt.strategies.text.text_clean import TextClean, Unit
from autoopt.task.facts import TaskFacts

Texts = NDArray[Any]
"""(rows, t) of str, '' where missing; columns as facts.text_columns."""

PADDING: Final = 0
UNKNOWN: Final = 1
FIRST: Final = 2
"""The number of the vocabulary's first token."""
_TOKENS: Final = "tokens"
_LOCALE: Final = "C.UTF-8"  # the one that a container has; the operator's own default, en_US, often is not there
_MOST_ROWS, _MOST_CHARACTERS = 512, 4 << 20
"""Of one batch: a batch is as wide as its longest text, and a token takes 32 bytes."""


@final
@dataclass(frozen=True, kw_only=True)
class Splitter:
    """How the texts of a task are cut into tokens."""

    inputs: tuple[str, ...]  # of the graph: string (rows, 1) each
    clean: TextClean
    unit: Unit
    pieces: tuple[str, ...] = ()  # of words, where these are cut into pieces

    @classmethod
    def of(cls, facts: TaskFacts, clean: TextClean, unit: Unit) -> "Splitter":
        return cls(inputs=tuple(graph_input_name(c) for c in facts.text_columns), clean=clean, unit=unit)

    def feed(self, texts: Texts) -> dict[str, Texts]:
        """Rows as the graph's inputs."""
        return {name: texts[:, k : k + 1] for k, name in enumerate(self.inputs)}

    def emit(self, graph: GraphBuilder) -> str:
        """Tokens, string (rows + 1, tokens): the columns side by side, '' before, between and behind them.

        The last row is an empty text: see `without_last`.
        """
        empty = graph.constant([""], str, name="empty")
        parts: list[str] = []
        for name in self.inputs:
            raw = graph.input(name, str, ("rows", 1))
            flat = graph.add("Concat", graph.add("Reshape", raw, graph.constant([-1], np.int64)), empty, axis=0)
            size = graph.add("Concat", graph.add("Shape", flat), graph.constant([1], np.int64), axis=0)
            parts += [graph.add("Expand", empty, size), self._split(graph, flat)]
        return graph.add("Concat", *parts, axis=1)

    def _split(self, graph: GraphBuilder, flat: str) -> str:
        if self.clean.case == "lower":
            flat = graph.add("StringNormalizer", flat, case_change_action="LOWER", locale=_LOCALE, is_case_sensitive=1)
        pattern: dict[str, Any] = {"tokenexp": self.clean.token_pattern(self.pieces)}
        if self.unit == "words":
            pattern = {"separators": list(self.clean.word_separators)}
        return graph.add("Tokenizer", flat, domain=RUNTIME_DOMAIN, mark=0, mincharnum=1, pad_value="", **pattern)

    def frequencies(self, texts: Texts) -> tuple[Counter[str], int]:
        """(in how many rows each token is, tokens of the longest row).

        Of characters, what is none (markup, a run of spaces and signs) gets no number of its own: it is UNKNOWN.
        """
        graph = GraphBuilder("tokens")
        graph.output(_TOKENS, without_last(graph, self.emit(graph)), str, ("rows", "tokens"))
        session = Session(graph.build().SerializeToString())
        counts, longest = Counter[str](), 0
        for rows in text_batches(texts):
            for row in session.run_all(self.feed(texts[rows]))[_TOKENS].tolist():
                found = [token for token in row if token]
                longest = max(longest, len(found))
                counts.update(set(found))
        if self.unit == "characters":
            counts = Counter({token: n for token, n in counts.items() if self.clean.is_character(token)})
        return counts, longest


def emit_numbers(graph: GraphBuilder, tokens: str, vocabulary: Sequence[str]) -> str:
    """Token numbers, int64, of tokens of any shape: PADDING for '', UNKNOWN for what is not in the vocabulary."""
    keys = ["", *vocabulary]
    values = [PADDING, *range(FIRST, FIRST + len(vocabulary))]
    return graph.ml("LabelEncoder", tokens, keys_strings=keys, values_int64s=values, default_int64=UNKNOWN)


def without_last(graph: GraphBuilder, value: str) -> str:
    """The value without its last row, which stands for no text."""
    ends = (graph.constant([k], np.int64) for k in (0, -1, 0))
    return graph.add("Slice", value, *ends)


def most_frequent(counts: Counter[str], *, least: int, most: int) -> tuple[str, ...]:
    """Tokens of `least` rows or more, at most so many, the most frequent first and equal ones in their order."""
    kept = [(-count, token) for token, count in counts.items() if count >= least]
    return tuple(token for _, token in sorted(kept)[:most])


def text_batches(texts: Texts, most_rows: int = _MOST_ROWS, most_characters: int = _MOST_CHARACTERS) -> Iterator[slice]:
    """Rows in their order, so many at a time that a long text among them does not fill the memory."""
    lengths = [max((len(text) for text in row), default=0) for row in texts]
    start, longest = 0, 0
    for row, length in enumerate(lengths):
        wider = max(longest, length)
        if row > start and (row - start >= most_rows or (row - start + 1) * wider > most_characters):
            yield slice(start, row)
            start, wider = row, length
        longest = wider
    if start < len(lengths):
        yield slice(start, len(lengths))
