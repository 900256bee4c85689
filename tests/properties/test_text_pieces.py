"""Words cut into pieces: always the longest that fits, the same from training to serving, whatever the text is."""

import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support_text import column, rows_of_words, text_facts
from test_text_graph import ANY, ASCII, MARKED, words_of

from autoopt.runtime import Session
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import CODES
from autoopt.strategies.text.numbering import fit_numbering
from autoopt.strategies.text.pieces import LONGEST, MOST_INSTRUCTIONS, Pieces, fit_pieces, learned_pieces
from autoopt.strategies.text.text_clean import TextClean
from autoopt.strategies.text.tokenizer import FIRST, Splitter, Texts, without_last
from autoopt.strategies.text.tokens import TokenNumbers

ONE = text_facts(("text",))
TRAIN, _ = rows_of_words(40, 3, seed=0)
CLEANS = {f"{c}-{html}": TextClean(characters=c, html=html) for c in ("words", "words_and_digits") for html in (0, 1)}
WORDS = st.lists(
    st.sampled_from(["goalkeeper", "bankmerger", "minister9", "q", "<b>goal</b>", "the", "&amp;", "x1"]), max_size=8
)
TEXTS = ASCII | MARKED | WORDS.map(" ".join) | WORDS.map("".join)


def fitted(texts: Texts, clean: TextClean, most: int = 2000) -> tuple[Splitter, Pieces]:
    words = Splitter.of(ONE, clean, "words")
    counts, _ = words.frequencies(texts)
    splitter, pieces, _ = fit_pieces(texts, words, counts, least=1, most=most)
    return splitter, pieces


FITTED = {name: fitted(TRAIN[:, 1:], clean) for name, clean in CLEANS.items()}


def numbers_of(texts: Texts, splitter: Splitter, pieces: Pieces) -> list[list[int]]:
    """By the graph; what stands between words left out."""
    graph = GraphBuilder("pieces")
    found = without_last(graph, pieces.emit(graph, splitter.emit(graph)))
    graph.output(CODES, found, np.int64, ("rows", "tokens"))
    session = Session(graph.build().SerializeToString())
    return [[n for n in row if n] for row in session.run_all(splitter.feed(texts))[CODES].tolist()]


def expected(text: str, clean: TextClean, pieces: Pieces) -> list[int]:
    """The rule, read in Python, for ASCII."""
    found: list[int] = []
    for word in words_of(text, clean):
        at, inside = 0, False
        while at < len(word):
            fit = [n for n in range(LONGEST, 0, -1) if word[at : at + n] in pieces.pieces and at + n <= len(word)]
            if fit:
                place = pieces.pieces.index(word[at : at + fit[0]]) + (len(pieces.pieces) if inside else 0)
                found.append(int(pieces.numbers[FIRST + place]))
            inside = bool(fit)
            at += fit[0] if fit else 1
    return found


@pytest.mark.parametrize("name", CLEANS)
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_a_word_is_the_longest_pieces_from_its_start(name: str, texts: list[str]) -> None:
    splitter, pieces = FITTED[name]
    found = numbers_of(column(*texts), splitter, pieces)
    assert found == [expected(text, CLEANS[name], pieces) for text in texts]


NUMBERING = fit_numbering(TRAIN, text_facts(), TextClean(), TokenNumbers(unit="subwords", max_tokens=16))


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(ANY | st.sampled_from(TRAIN[:, 0].tolist()), ANY), min_size=1, max_size=5))
def test_any_text_alone_gives_what_it_gives_beside_others(rows: list[tuple[str, str]]) -> None:
    texts: NDArray[Any] = np.empty((len(rows), 2), dtype=object)
    texts[:] = rows
    session = Session(NUMBERING.graph.SerializeToString())
    together = NUMBERING.transform(texts)
    for k in range(len(rows)):
        alone = session.run_all(NUMBERING.splitter.feed(texts[k : k + 1]))[CODES]
        assert np.array_equal(alone[0], together[k])
    assert together.min() >= 0
    assert together.max() < NUMBERING.vocabulary
    assert all((row[: np.count_nonzero(row)] != 0).all() for row in together)


def test_what_training_did_not_see_is_made_of_what_it_did() -> None:
    texts = column(*["goal keeper goals keepers"] * 5)
    known = fit_numbering(texts, ONE, TextClean(), TokenNumbers(unit="subwords", min_count=1))
    [codes] = known.transform(column("goalkeepers"))
    assert (codes > 1).any()
    [words] = fit_numbering(texts, ONE, TextClean(), TokenNumbers(min_count=1)).transform(column("goalkeepers"))
    assert words.max() == 1


def test_pieces_that_begin_a_word_are_others_than_inside_one() -> None:
    splitter, pieces = fitted(column(*["ab cdab cdab ab"] * 4), TextClean(), most=4 + 1)  # letters, and one piece
    assert pieces.pieces[4:] == ("ab",)
    [[alone], [again, twice], [_, _, inside]] = numbers_of(column("ab", "ab ab", "cdab"), splitter, pieces)
    assert alone == again == twice != inside


WORDS_SEEN = Counter({word: n + 2 for n, word in enumerate(["lower", "lowest", "newer", "newest", "wider", "ζωή"])})


def test_the_same_words_give_the_same_pieces_in_any_order_and_process() -> None:
    found = learned_pieces(WORDS_SEEN, 500)
    assert found == learned_pieces(Counter(dict(reversed(WORDS_SEEN.items()))), 500)
    code = (
        "from collections import Counter; from autoopt.strategies.text.pieces import learned_pieces; "
        f"print(ascii(learned_pieces(Counter({dict(WORDS_SEEN)!r}), 500)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii(found)
    assert done.stderr == ""


@pytest.mark.parametrize("alphabet", ["latin", "kanji"])
def test_pieces_end_where_the_matchers_memory_does(alphabet: str, capfd: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(2)
    first, size = {"latin": (ord("a"), 26), "kanji": (0x4E00, 1500)}[alphabet]
    syllables = ["".join(map(chr, first + draw.integers(0, size, int(n)))) for n in draw.integers(1, 4, 300)]
    words = ["".join(draw.choice(syllables, int(n))) for n in draw.integers(2, 6, 5000)]
    texts = column(*[" ".join(words[k : k + 40]) for k in range(0, len(words), 40)] * 2)
    splitter, _ = fitted(texts, TextClean(), most=50_000)
    beginnings = {piece[:end] for piece in splitter.pieces for end in range(1, len(piece) + 1)}
    instructions = len(splitter.pieces) + sum(len(beginning[-1].encode()) for beginning in beginnings)
    assert 0.99 * MOST_INSTRUCTIONS < instructions <= MOST_INSTRUCTIONS
    assert splitter.frequencies(texts)[1] > 40
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""  # the matcher says when it is out of memory, and is slower from there on


def test_pieces_are_read_as_they_are_written() -> None:
    word = r"a+b(c)*[d]\e|{.$"
    text = f"{word} {word}"
    splitter, pieces = fitted(column(*[text] * 5), TextClean(characters="all"), most=500)
    assert word in pieces.pieces
    [found] = numbers_of(column(text), splitter, pieces)
    assert found == [found[0]] * 2


def test_a_word_that_is_none_does_not_stop_the_learning() -> None:
    texts = column("x" * 100_000, *["goal keeper"] * 4)
    known = fit_numbering(texts, ONE, TextClean(), TokenNumbers(unit="subwords"))
    assert known.transform(texts).tolist() == [[0, 0], *[[2, 3]] * 4]
