"""Reads a text file of word vectors: GloVe's form, or word2vec's with its first line 'words dimension'; gzip too.

Such files have gigabytes: they are read line by line, and only rows of words that are asked for are kept.
"""

import gzip
import zlib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, Problem
from autoopt.files import user_path
from autoopt.task.texts.word_vectors import WordVectors
from autoopt.task.wording import SHOWN, count

MOST_DIMENSIONS: Final = 4096
_LONGEST_LINE: Final = 1 << 20
_FORMS: Final = "Give a text file of GloVe's or word2vec's form: in each line a word and its numbers, parted by spaces."
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = (
    (b"PK\x03\x04", "a zip archive", "Unpack it, and give one of the .txt files in it."),
    (b"\x80", "a pickle, which is never loaded", _FORMS),
    (b"\x93NUMPY", "an array of NumPy", _FORMS),
    (b"\x89HDF", "an HDF5 file", _FORMS),
)
_BINARY: Final = "If it is word2vec's binary form, write it as text: gensim's save_word2vec_format(..., binary=False)."


def vector_file_problems(file: str | Path) -> list[Problem]:
    """What is wrong with a file of word vectors, as far as its first bytes tell."""
    name = f"--embeddings {str(file)!r}"
    try:
        with user_path(file).open("rb") as opened:
            start = opened.read(8)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it; the home of nobody
        reason = error.strerror if isinstance(error, OSError) else error
        return [Problem(what=f"{name} cannot be read: {reason}.", mend=_FORMS)]
    if not start:
        return [Problem(what=f"{name} is empty.", mend=_FORMS)]
    return [
        Problem(what=f"{name} is {what}, and no text file.", mend=mend)
        for magic, what, mend in _OTHERS
        if start.startswith(magic)
    ]


def read_word_vectors(file: str | Path, wanted: Set[str]) -> WordVectors:
    """The rows of the words that are `wanted`; of a word that comes twice the first.

    Raises DataError for lines that are none, with their numbers, and where no word is wanted.
    """
    problems = vector_file_problems(file)
    if problems:
        raise DataError(problems)
    reading = _Reading(file=file, wanted={word.encode("utf-8", "replace") for word in wanted})
    try:
        with _opened(user_path(file)) as opened:
            reading.read(opened)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"--embeddings {str(file)!r} is damaged: {error}.", "Fetch it again.") from None
    return reading.found()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked  # type: ignore[misc]  # it reads like any binary file


@final
@dataclass(kw_only=True)
class _Reading:
    """One pass over a file."""

    file: str | Path
    wanted: Set[bytes]
    dimension: int = 0
    promised: int | None = None  # words, as a header says
    lines: int = 0  # with a vector
    bad: list[str] = field(default_factory=list)
    is_text: bool = True
    rows: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def read(self, file: BinaryIO) -> None:
        """Every line, until too many are bad."""
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            content = line.rstrip()
            if not content or (number == 1 and self._is_header(content)):
                continue
            wrong = self._row(content)
            if wrong:
                self.bad.append(f"line {number:,} {wrong}")
                self.is_text &= _is_utf8(content)
            if len(self.bad) >= SHOWN:
                break

    def found(self) -> WordVectors:
        """What was read. Raises DataError."""
        name = f"--embeddings {str(self.file)!r}"
        if self.bad:
            told = "; ".join(self.bad) + (", and no more was read" if len(self.bad) >= SHOWN else "")
            raise DataError(f"{name} is no whole file of word vectors: {told}.", _FORMS if self.is_text else _BINARY)
        if self.promised is not None and self.lines < self.promised:
            what = f"{name} is cut off: its first line says {count(self.promised, 'word')}, and it has {self.lines:,}."
            raise DataError(what, "Fetch it again.")
        if not self.rows:
            what = f"{name} has vectors of {count(self.lines, 'word')}, and none of them is in the training texts."
            raise DataError(what, "Give vectors of the texts' language, or leave --embeddings out.")
        return WordVectors(words=tuple(self.rows), values=np.stack(list(self.rows.values())))

    def _is_header(self, content: bytes) -> bool:
        """Whether the first line is word2vec's; it then says what is to come."""
        fields = content.split()
        if len(fields) != 2 or not all(f.isdigit() for f in fields):
            return False
        self.promised, self.dimension = int(fields[0]), int(fields[1])
        return True

    def _row(self, content: bytes) -> str:
        """Take in one line; what is wrong with it, or ''."""
        if self.lines == 0 and self.dimension == 0:
            self.dimension = content.count(b" ")
        if not 1 <= self.dimension <= MOST_DIMENSIONS:
            return f"has {count(self.dimension, 'number')}, and 1 to {MOST_DIMENSIONS:,} are possible"
        self.lines += 1
        word, _, rest = content.partition(b" ")
        extra = rest.count(b" ") + 1 - self.dimension if rest else -self.dimension
        if not word.isascii() and not _is_utf8(word):
            return "is not UTF-8"
        if extra > 0 and not _is_number(rest.partition(b" ")[0]):
            return ""  # a word with a space in it, as GloVe's largest file has some: never one of ours
        if extra:
            return f"has {count(self.dimension + extra, 'number')}, and {self.dimension:,} are due"
        asked = word in self.wanted and word.decode() not in self.rows
        if not asked and self.lines > 1:  # the first shows whether these are numbers at all
            return ""
        try:
            with np.errstate(over="ignore"):  # beyond float32 is infinite
                vector = np.array(rest.split(), dtype=np.float32)
        except ValueError:
            return "holds what is no number"
        if not np.isfinite(vector).all():
            return "holds what is no finite number"
        if asked:
            self.rows[word.decode()] = vector
        return ""


def _is_number(content: bytes) -> bool:
    try:
        float(content)
    except ValueError:
        return False
    return True


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
