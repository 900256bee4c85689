"""Files of word vectors: what is read of them, what is told of bad ones, and what of them a task keeps."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_text import column, text_facts, text_frame

from autoopt.errors import DataError, InputError, OptionError
from autoopt.strategies.text.text_clean import TextClean
from autoopt.strategies.text.tokenizer import Splitter
from autoopt.task import Snapshot, TaskOptions, prepare_task
from autoopt.task.facts import TaskFacts
from autoopt.task.texts.vector_file import read_word_vectors
from autoopt.task.texts.word_vectors import WordVectors, wanted_words

WANTED = frozenset({"goal", "Bern", "déjà", "match"})
GLOVE = "goal 1 -2.5 3e-1\nother 1 2 3\ndéjà 4 5 6\nBern 7 8 9\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "vectors.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        f"4 3\n{GLOVE}",
        GLOVE.replace("\n", " \n"),
        GLOVE.replace("\n", "\r\n"),
        GLOVE.rstrip() + "\n\n",
        GLOVE + "goal 9 9 9\n",
        GLOVE + ". . . 1 2 3\n",
        gzip.compress(GLOVE.encode()),
    ],
    ids=["GloVe", "word2vec", "spaces behind", "CRLF", "empty lines", "a word twice", "words with spaces", "gzip"],
)
def test_forms_that_are_read(content: str | bytes, tmp_path: Path) -> None:
    found = read_word_vectors(written(tmp_path, content), WANTED)
    assert found.words == ("goal", "déjà", "Bern")
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, [[1, -2.5, 0.3], [4, 5, 6], [7, 8, 9]], rtol=1e-6)


@pytest.mark.parametrize(
    "content,says",
    [
        ("", ["is empty"]),
        (b"\x80\x04\x95abc", ["is a pickle, which is never loaded"]),
        (b"PK\x03\x04abc", ["is a zip archive", "Unpack it"]),
        (gzip.compress(GLOVE.encode())[:-12], ["is damaged"]),
        (GLOVE + "match 1 2\n", ["line 5 has 2 numbers, and 3 are due"]),
        (GLOVE + "match 1 2 3 4\n", ["line 5 has 4 numbers, and 3 are due"]),
        (GLOVE + "mat", ["line 5 has 0 numbers, and 3 are due"]),
        (GLOVE + "match 1 x 3\n", ["line 5 holds what is no number"]),
        (GLOVE + "match 1 nan 3\n", ["line 5 holds what is no finite number"]),
        ("title,text,label\na b,c,d\n", ["line 1 has 0 numbers"]),
        ("some text that is none\n", ["line 1 holds what is no number"]),
        (GLOVE.encode("latin-1"), ["line 3 is not UTF-8"]),
        (b"2 3\ngoal \x93\x00\xff\x12\x80\n", ["line 2", "word2vec's binary form", "binary=False"]),
        ("9 3\n" + GLOVE, ["is cut off", "says 9 words, and it has 4"]),
        ("other 1 2\n", ["vectors of 1 word", "none of them is in the training texts"]),
        ("match 1 2\n" + "match 1\n" * 9, ["line 2 has 1 number", "line 6", "no more was read"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_files_that_are_none(content: str | bytes, says: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_word_vectors(written(tmp_path, content), WANTED)
    told = str(error.value)
    assert told.startswith("--embeddings ")
    assert all(words in told for words in says), told
    assert len(told) < 600


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "nothing.txt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=says):
            read_word_vectors(path, WANTED)


def test_a_word_has_the_vector_of_its_own_spelling_first() -> None:
    vectors = WordVectors(words=("goal", "Goal", "Bern", "VAR"), values=np.arange(8, dtype=np.float32).reshape(4, 2))
    table = vectors.table(["goal", "Goal", "GOAL", "bern", "var", "nowhere"])
    assert table[:4, 0].tolist() == [0, 2, 0, 4]
    assert np.isnan(table[4:]).all()
    assert vectors.table([]).shape == (0, 2)


MARKS = st.lists(st.sampled_from([*"<>&;/!? aB1zé", "<b>", "</p>", "&amp;", "Word"]), max_size=20).map("".join)


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(MARKS, min_size=1, max_size=4),
    clean=st.builds(
        TextClean,
        characters=st.sampled_from(["words", "words_and_digits"]),
        html=st.booleans(),
        case=st.sampled_from(["lower", "keep"]),
    ),
)
def test_every_word_of_the_texts_is_looked_for(texts: list[str], clean: TextClean) -> None:
    counts, _ = Splitter.of(text_facts(("text",)), clean, "words").frequencies(column(*texts))
    assert counts.keys() <= wanted_words(texts)


def vectors_of(folder: Path, name: str = "vectors.txt", shift: int = 0) -> Path:
    """A vector for every word of the topics and fillers that `text_frame` is made of."""
    words = ["goal", "match", "coach", "market", "shares", "bank", "the", "of", "a", "in"]
    path = folder / name
    path.write_text("".join(f"{word} {k + shift} {k * k} 1\n" for k, word in enumerate(words)))
    return path


def facts_with(path: Path | None, **more: Any) -> TaskFacts:
    return prepare_task(text_frame(), _options(path, **more)).facts


def _options(path: Path | None, **more: Any) -> TaskOptions:
    return TaskOptions(**{"target": "label", "text": ("title", "text"), "embeddings": path, **more})


def test_a_task_keeps_what_it_needs_and_not_the_file(tmp_path: Path) -> None:
    path = vectors_of(tmp_path)
    task = prepare_task(text_frame(), _options(path))
    assert task.facts.embeddings is not None
    assert (task.facts.embeddings.name, task.facts.embeddings.dimension) == ("vectors.txt", 3)
    task.save(tmp_path / "snapshot")
    path.unlink()
    snapshot = Snapshot.open(tmp_path / "snapshot").verify()
    assert TaskFacts.from_json(snapshot.facts.to_json()) == task.facts
    kept = snapshot.word_vectors()
    assert kept is not None
    assert len(kept.words) == task.facts.embeddings.words == 10
    assert kept.table(["Market"]).tolist() == [[3, 9, 1]]
    (tmp_path / "snapshot" / "vectors.values.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"vectors\.values\.npy"):
        Snapshot.open(tmp_path / "snapshot").verify()


def test_other_vectors_are_another_task(tmp_path: Path) -> None:
    plain, first, same, other = (
        facts_with(path).fingerprint
        for path in (
            None,
            vectors_of(tmp_path),
            vectors_of(tmp_path, "renamed.txt"),
            vectors_of(tmp_path, "other.txt", shift=1),
        )
    )
    assert first == same
    assert len({plain, first, other}) == 3


def test_a_bad_file_is_told_with_all_the_rest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        facts_with(tmp_path / "nothing.txt", text=("titel",))
    assert "'titel' is not a column" in str(error.value)
    assert "nothing.txt' cannot be read" in str(error.value)
    path = vectors_of(tmp_path)
    path.write_text(path.read_text() + "goals 1\n")
    with pytest.raises(DataError, match="line 11 has 1 number, and 3 are due"):
        facts_with(path)


def test_without_texts_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--embeddings .* is for texts.*--text title,text"):
        facts_with(vectors_of(tmp_path), text=())
    with pytest.raises(OptionError, match="--embeddings"):
        prepare_task("demo:digit_images", _options(vectors_of(tmp_path), text=(), target=None))
