"""The graph that cuts texts reads them as its rules say, takes any text, and gives in serving what it trained."""

import re
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support_text import column, rows_of_words, text_facts

from autoopt.runtime import Session
from autoopt.strategies.model import CODES, FEATURES
from autoopt.strategies.text.counting import fit_counting
from autoopt.strategies.text.ngrams import NGrams
from autoopt.strategies.text.numbering import fit_numbering
from autoopt.strategies.text.text_clean import KEPT, TextClean
from autoopt.strategies.text.tokenizer import Splitter
from autoopt.strategies.text.tokens import TokenNumbers

FACTS = text_facts(("title", "text"))
TRAIN, _ = rows_of_words(40, 3, seed=0)
ASCII = st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=60)
MARKED = st.lists(st.sampled_from([*"<>&;/! aB1z", "<b>", "</p>", "&amp;", "&#39;", "word"]), max_size=20).map("".join)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CLEANS = st.builds(
    TextClean, characters=st.sampled_from(list(KEPT)), html=st.booleans(), case=st.sampled_from(["lower", "keep"])
)


def words_of(text: str, clean: TextClean) -> list[str]:
    """The rules, read in Python, for ASCII."""
    if clean.case == "lower":
        text = text.lower()
    pieces = re.split(r"</?[A-Za-z!][^<>]*>|&(?:[A-Za-z]{1,10}|#[0-9]{1,7});", text) if clean.html else [text]
    between = {"words_and_digits": "[^A-Za-z0-9]+", "words": "[^A-Za-z]+", "all": "[ \t\n\f\r]+"}[clean.characters]
    return [word for piece in pieces for word in re.split(between, piece) if word]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(ASCII | MARKED, min_size=1, max_size=5), clean=CLEANS)
def test_words_are_what_the_rules_say(texts: list[str], clean: TextClean) -> None:
    counts, longest = Splitter.of(text_facts(("text",)), clean, "words").frequencies(column(*texts))
    expected = [words_of(text, clean) for text in texts]
    assert dict(counts) == {w: sum(w in row for row in expected) for row in expected for w in row}
    assert longest == max(len(row) for row in expected)


COUNTING = fit_counting(TRAIN, FACTS, TextClean(), NGrams())
NUMBERING = fit_numbering(TRAIN, FACTS, TextClean(), TokenNumbers(max_tokens=16))
ROWS = st.lists(st.tuples(ANY | ASCII | st.sampled_from(TRAIN[:, 0].tolist()), ANY), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_any_text_alone_gives_what_it_gives_beside_others(rows: list[tuple[str, str]]) -> None:
    texts: NDArray[Any] = np.empty((len(rows), 2), dtype=object)
    texts[:] = rows
    for fitted, output in ((COUNTING, FEATURES), (NUMBERING, CODES)):
        session = Session(fitted.graph.SerializeToString())
        together = session.run_all(fitted.splitter.feed(texts))[output]
        for k in range(len(rows)):
            assert np.array_equal(session.run_all(fitted.splitter.feed(texts[k : k + 1]))[output][0], together[k])
        assert np.isfinite(together).all()
        kept: Any = fitted.transform(texts)
        assert np.array_equal(kept if output == CODES else kept.toarray(), together)
    lengths = np.linalg.norm(COUNTING.transform(texts).toarray(), axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    codes = NUMBERING.transform(texts)
    assert all((row[: np.count_nonzero(row)] != 0).all() for row in codes)
