"""Token numbers of texts: which tokens have one, the graph that finds them, and what it makes of many rows."""

from dataclasses import dataclass
from typing import cast, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import CODES
from autoopt.strategies.text.pieces import fit_pieces
from autoopt.strategies.text.text_clean import TextClean, Unit
from autoopt.strategies.text.tokenizer import (
    FIRST,
    PADDING,
    Splitter,
    Texts,
    emit_numbers,
    most_frequent,
    text_batches,
    without_last,
)
from autoopt.strategies.text.tokens import TokenNumbers
from autoopt.task.facts import TaskFacts
from autoopt.values import FailureReason


@final
@dataclass(frozen=True, kw_only=True)
class Numbering:
    """Fitted token numbers. `graph` is all that is kept of it."""

    graph: onnx.ModelProto
    vocabulary: int  # how many numbers there are, those of padding and of unknown tokens included
    length: int  # tokens of a row
    splitter: Splitter
    words: tuple[str, ...]  # of the numbers from FIRST on; none where tokens are not words

    def transform(self, texts: Texts) -> NDArray[np.int64]:
        """The graph's output for these rows, int64 (rows, length): what networks train on and are judged by."""
        session = Session(self.graph.SerializeToString())
        codes = np.zeros((len(texts), self.length), dtype=np.int64)
        for rows in text_batches(texts):
            codes[rows] = session.run_all(self.splitter.feed(texts[rows]))[CODES]
        return codes


def fit_numbering(texts: Texts, facts: TaskFacts, clean: TextClean, config: TokenNumbers) -> Numbering:
    """Fit on the training texts (rows, t), and write the graph. Raises StageFailure when no token has a number."""
    unit = cast(Unit, config.unit)
    splitter = Splitter.of(facts, clean, "words" if unit == "subwords" else unit)
    counts, longest = splitter.frequencies(texts)
    least = min(config.min_count, max(len(texts) // 2, 1))
    graph = GraphBuilder("tokens")
    words: tuple[str, ...] = ()
    if unit == "subwords":
        splitter, pieces, longest = fit_pieces(texts, splitter, counts, least=least, most=config.vocabulary)
        known = pieces.count
        numbers = pieces.emit(graph, splitter.emit(graph))
    else:
        words = most_frequent(counts, least=least, most=config.vocabulary)
        known = len(words)
        numbers = emit_numbers(graph, splitter.emit(graph), words)
    if not known:
        message = f"No token is in {least} training texts or more: {unit} of {clean.characters} are none."
        raise StageFailure(FailureReason.ERROR, message)
    length = min(config.max_tokens, longest)
    codes = without_last(graph, _packed(graph, numbers, length))
    graph.output(CODES, codes, np.int64, ("rows", length))
    return Numbering(
        graph=graph.build(),
        vocabulary=known + FIRST,
        length=length,
        splitter=splitter,
        words=words if unit == "words" else (),
    )


def _packed(graph: GraphBuilder, numbers: str, length: int) -> str:
    """(rows, tokens) with padding anywhere → (rows, length): the tokens in their order from the left, then padding.

    Each token is written to the column that counts the tokens before it, all that are too many to one column more,
    which is then cut off.
    """
    end = graph.constant(length, np.int64)
    is_token = graph.add("Greater", numbers, graph.constant(PADDING, np.int64))
    ahead = graph.add("CumSum", graph.add("Cast", is_token, to=onnx.TensorProto.INT64), graph.constant(1, np.int64))
    place = graph.add("Min", graph.add("Sub", ahead, graph.constant(1, np.int64)), end)
    rows = graph.add("Shape", numbers, start=0, end=1)
    size = graph.add("Concat", rows, graph.constant([length + 1], np.int64), axis=0)
    blank = graph.add("Expand", graph.constant([PADDING], np.int64), size)
    written = graph.add("ScatterElements", blank, graph.add("Where", is_token, place, end), numbers, axis=1)
    return graph.add("Slice", written, *(graph.constant([k], np.int64) for k in (0, length, 1)))
