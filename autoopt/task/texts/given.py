"""--embeddings: a file of word vectors becomes a part of the task."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoopt.errors import OptionError
from autoopt.files import sha256_file, user_path
from autoopt.task.facts import EmbeddingsFacts
from autoopt.task.options import TaskOptions
from autoopt.task.texts.vector_file import read_word_vectors
from autoopt.task.texts.word_vectors import WordVectors, wanted_words
from autoopt.task.wording import quoted


@dataclass(frozen=True, kw_only=True)
class GivenVectors:
    """What is kept of a file, and what is said of it."""

    vectors: WordVectors
    facts: EmbeddingsFacts


def given_vectors(file: str | Path, texts: Iterable[str]) -> GivenVectors:
    """The vectors of all words that these training texts may have. Raises DataError."""
    path = user_path(file)
    vectors = read_word_vectors(file, wanted_words(texts))
    facts = EmbeddingsFacts(
        name=path.name, sha256=sha256_file(path), dimension=vectors.values.shape[1], words=len(vectors.words)
    )
    return GivenVectors(vectors=vectors, facts=facts)


def refuse_embeddings(options: TaskOptions) -> None:
    """Raises OptionError for a file of word vectors where no texts are learned from."""
    if options.embeddings is not None and not options.text:
        what = f"--embeddings {quoted(options.embeddings)} is for texts, and no column of texts was named."
        raise OptionError(what, "Name the columns of a table too, --text title,text, or leave it out.")
