"""Texts in the graph: what tokens are, what counts, what the numbers say; and what comes out of odd texts."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from support_text import column, rows_of_words, text_facts

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.stages.preparing import PREPARERS, LoadJob, PrepareJob
from autoopt.strategies import models
from autoopt.strategies.base import Strategy
from autoopt.strategies.model import CODES, FEATURES
from autoopt.strategies.prepared import Counts, Tokens
from autoopt.strategies.text.counting import fit_counting
from autoopt.strategies.text.ngrams import SPANS, NGrams
from autoopt.strategies.text.numbering import Numbering, fit_numbering
from autoopt.strategies.text.text_clean import TextClean, Unit
from autoopt.strategies.text.tokenizer import Splitter, text_batches
from autoopt.strategies.text.tokens import TokenNumbers
from autoopt.task.facts import Modality
from autoopt.task.snapshot import Part
from autoopt.values import Slot

ONE = text_facts(("text",))
TWO = text_facts(("title", "text"))
TEXTS, _ = rows_of_words(60, 3, seed=2)


def tokens_of(text: str, unit: Unit = "words", **clean: Any) -> set[str]:
    splitter = Splitter.of(ONE, TextClean(**clean), unit)
    return set(splitter.frequencies(column(text))[0])


@pytest.mark.parametrize(
    "clean,expected",
    [
        ({}, {"déjà", "vu", "3", "times"}),
        ({"case": "keep"}, {"Déjà", "VU", "3", "times"}),
        ({"characters": "words"}, {"déjà", "vu", "times"}),
        ({"html": False}, {"b", "class", "x", "déjà", "vu", "amp", "3", "times"}),
        ({"characters": "all"}, {"déjà", "vu", "3", "times!"}),
    ],
    ids=["as it comes", "case kept", "letters only", "html kept", "all characters"],
)
def test_what_a_word_is(clean: dict[str, Any], expected: set[str]) -> None:
    assert tokens_of('<b class="x">Déjà VU</b> &amp; 3 times!', **clean) == expected


def test_less_and_greater_signs_that_are_no_tags_stay_out_of_the_way() -> None:
    assert tokens_of("a < b and c > d") == {"a", "b", "and", "c", "d"}
    assert tokens_of("<!-- note --> 5<6 &nosuchentityhere; x") == {"5", "6", "nosuchentityhere", "x"}


def test_characters_are_tokens_and_runs_of_others_are_one_unknown() -> None:
    text = column("Ab,  b<i>c</i>")
    assert tokens_of(text[0, 0], "characters") == {"a", "b", "c"}
    assert np.count_nonzero(numbering(text, unit="characters", min_count=1).transform(text) == 1) == 3
    assert tokens_of("A! ", "characters", characters="all", case="keep") == {"A", "!"}
    assert tokens_of("x <b>y</b> &amp; <i> z", "characters") == {"x", "y", "z"}  # markup behind a space is markup


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("options", [{}, {"sublinear": False}, {"idf": False}], ids=str)
def test_counts_are_scikit_learns(span: str, options: dict[str, bool]) -> None:
    unit, shortest, longest = SPANS[span]
    own = fit_counting(TEXTS[:, 1:], ONE, TextClean(), NGrams(span=span, most=50_000, **options))
    theirs = TfidfVectorizer(
        analyzer="word" if unit == "words" else "char",
        token_pattern=r"[a-z0-9]+" if unit == "words" else None,
        preprocessor=lambda text: re.sub("[^a-z0-9]+", " ", text.lower()),  # to us, runs of others are one token
        ngram_range=(shortest, longest),
        min_df=2,
        sublinear_tf=options.get("sublinear", True),
        use_idf=options.get("idf", True),
        dtype=np.float64,
    )
    found, expected = own.transform(TEXTS[:, 1:]).toarray(), theirs.fit_transform(TEXTS[:, 1]).toarray()
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    # columns come in another order: each row's products with all others do not hang on it
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


def test_of_too_many_ngrams_those_in_the_most_texts_count() -> None:
    texts = column(*["common rare1"] * 5, *["common rare2"] * 4, *["common rare3"] * 3)
    few = fit_counting(texts, ONE, TextClean(), NGrams(span="words_1", most=1000, min_count=4))
    assert few.features == 3
    assert np.array_equal((few.transform(texts).toarray() > 0).sum(axis=0), [12, 5, 4])


def test_ngrams_do_not_reach_from_one_column_into_the_next() -> None:
    texts = np.array([["a b", "c d"]] * 4 + [["a b", "c"]] * 4, dtype=object)
    found = fit_counting(texts, TWO, TextClean(), NGrams(span="words_1_2", most=1000))
    assert found.features == 4 + 2  # a, b, c, d; "a b", "c d", not "b c"


def numbering(texts: np.ndarray, **options: object) -> Numbering:
    return fit_numbering(texts, ONE, TextClean(), TokenNumbers(**options))  # type: ignore[arg-type]


def test_token_numbers_pad_at_the_end_and_cut_what_is_too_long() -> None:
    train = column("b a c a", "a b", "a", "b zebra")
    found = numbering(train, max_tokens=16)
    assert (found.vocabulary, found.length) == (4, 4)  # padding, unknown, a, b: the longest has 4 tokens
    codes = found.transform(column("a b", "", "b x a, a b b", "?!"))
    assert codes.tolist() == [[2, 3, 0, 0], [0, 0, 0, 0], [3, 1, 2, 2], [0, 0, 0, 0]] or codes.tolist() == [
        [3, 2, 0, 0],
        [0, 0, 0, 0],
        [2, 1, 3, 3],
        [0, 0, 0, 0],
    ]


def test_columns_of_tokens_are_joined_without_a_gap() -> None:
    texts = np.array([["a", "b c"], ["", "b"], ["a a a", ""]], dtype=object)
    found = fit_numbering(texts, TWO, TextClean(), TokenNumbers(min_count=1))
    codes = found.transform(texts)
    assert (codes != 0).sum(axis=1).tolist() == [3, 1, 3]
    assert all((row[: np.count_nonzero(row)] != 0).all() for row in codes)


ODD = (
    "",
    " ",
    "?!",
    "<br>",
    "nul\0inside",
    "日本語 テキスト",
    "İstanbul ΑΣ ß",
    "😀👍🏽",
    "a\u0301 combining",
    "word " * 200_000,
    "x" * (1 << 20),
    "<" * 100_000,
)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("unit", ["words", "characters", "subwords"])
def test_odd_texts_alone_in_a_batch_and_beside_others(text: str, unit: Unit) -> None:
    counting = fit_counting(
        TEXTS[:, 1:], ONE, TextClean(), NGrams(span="characters_2_4" if unit == "characters" else "words_1")
    )
    numbers = numbering(TEXTS[:, 1:], unit=unit)
    text = text[: 1 << 14] if unit == "subwords" else text  # cut as characters are, and as long texts of them
    for texts in (column(text), column(text, "", text), column("", "")):
        counts = counting.transform(texts)
        assert counts.shape == (len(texts), counting.features)
        assert np.isfinite(counts.data).all()
        codes = numbers.transform(texts)
        assert codes.min() >= 0
        assert codes.max() < numbers.vocabulary


def test_subwords_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tokenizers" else find(name))
    reasons = {unit: TokenNumbers.value_applies(unit, ONE, Slot(index=0)) for unit in ("words", "subwords")}
    assert reasons == {"words": None, "subwords": "it needs tokenizers: pip install 'autoopt[subwords]'"}


@pytest.mark.parametrize("strategy", [TextClean, NGrams, TokenNumbers])
def test_cards_are_complete(strategy: type[Strategy]) -> None:
    assert all(d.summary and d.stage == "prepare" and d.domain.contains(d.default) for d in strategy.declarations())
    for words in ("What:", "Helps:", "Units:", "Reference:"):
        assert words in (strategy.__doc__ or "")
    assert strategy.applies(ONE, Slot(index=0)) is None
    assert "no free text" in str(strategy.applies(text_facts(()), Slot(index=0)))


@pytest.mark.parametrize("empty", ["", "?!"])
def test_no_token_at_all_is_told(empty: str) -> None:
    texts = column(*[empty] * 10)
    with pytest.raises(StageFailure, match="No n-gram is in"):
        fit_counting(texts, ONE, TextClean(), NGrams())
    with pytest.raises(StageFailure, match="No token is in"):
        numbering(texts)


def test_no_row_is_no_row() -> None:
    none = np.zeros((0, 1), dtype=object)
    assert fit_counting(TEXTS[:, 1:], ONE, TextClean(), NGrams()).transform(none).shape[0] == 0
    assert numbering(TEXTS[:, 1:]).transform(none).shape[0] == 0


def test_long_texts_make_small_batches() -> None:
    texts = column(*["short"] * 600, "x" * 3_000_000, "x" * 3_000_000, *["short"] * 10)
    found = list(text_batches(texts))
    assert [row for rows in found for row in range(rows.start, rows.stop)] == list(range(len(texts)))
    assert [rows.stop - rows.start for rows in found] == [512, 88, 1, 1, 10]


def part_of(texts: np.ndarray) -> Part:
    rows = len(texts)
    return Part(
        numbers=np.zeros((rows, 0)),
        categories=np.zeros((rows, 0), dtype=object),
        target=np.zeros(rows, dtype=np.int64),
        row_ids=np.arange(rows),
        texts=texts,
    )


@pytest.mark.parametrize("model", [n for n, m in models().items() if Modality.TEXT in m.modalities])
def test_what_is_kept_is_what_the_graph_gives(model: str, tmp_path: Path) -> None:
    preparer, recipe = PREPARERS[Modality.TEXT], Recipe({"model": model})
    train, valid = part_of(TEXTS[:40]), part_of(TEXTS[40:])
    preparer.prepare(PrepareJob(facts=TWO, train=train, valid=valid, recipe=recipe, seed=0), tmp_path)
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".npy", ".json", ".onnx")]
    graph = preparer.graph(tmp_path)
    assert graph is not None
    for name, part in (("train", train), ("valid", valid)):
        job = LoadJob(folder=tmp_path, facts=TWO, part_name=name, part=part, recipe=recipe)  # type: ignore[arg-type]
        prepared = preparer.load(job)
        assert prepared.rows == part.rows
        assert isinstance(prepared, Counts if models()[model].counts_ngrams else Tokens)
        feed = prepared.model_feed(slice(None))
        assert set(feed) == {o.name for o in graph.graph.output} <= {FEATURES, CODES}
        again = preparer.graph(tmp_path)
        assert again is not None
        found = _run(again.SerializeToString(), part.texts)
        for key, values in feed.items():
            assert np.array_equal(found[key], values), key


def _run(graph: bytes, texts: np.ndarray) -> dict[str, np.ndarray]:
    from autoopt.runtime import Session

    return Session(graph).run_all(Splitter.of(TWO, TextClean(), "words").feed(texts))
