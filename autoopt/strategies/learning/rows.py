"""Training rows as they are held: in memory or in files, read by row numbers."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]
Handle = TypeVar("Handle")


class Rows(ABC):
    """Rows of one or more inputs. Every process reads them through its own handles, so a fork or a copy is safe."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many."""

    @abstractmethod
    def take(self, indices: NDArray[np.int64]) -> Arrays:
        """The rows of those numbers (n,), in that order, of each input: arrays (n, ...) of their own."""


class StoredRows(Rows, Generic[Handle]):
    """Rows in files of one folder. Only its path goes to another process, which opens the files again by itself."""

    form: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: tuple[int, Handle] | None = None

    @classmethod
    def why_not(cls, arrays: Sequence[NDArray[Any]]) -> str | None:
        """None where it can hold such arrays; else the reason, in a user's words."""
        return None

    @classmethod
    @abstractmethod
    def write(cls, arrays: Sequence[NDArray[Any]], folder: Path) -> None:
        """Write arrays (rows, ...), some rows at a time: they may be mapped from disk and larger than memory."""

    @abstractmethod
    def _open(self, folder: Path) -> Handle:
        """Open what `write` wrote. Raises OSError or ValueError when it is not there or damaged."""

    @property
    def _handle(self) -> Handle:
        """This process's own: libraries must not share an open file with a fork of theirs."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._open(self._folder))
        return self._opened[1]

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self._folder,)


def pieces(rows: int, row_bytes: int, *, piece_bytes: int = 1 << 24) -> list[slice]:
    """Consecutive slices over all rows, each of about `piece_bytes`."""
    step = max(1, piece_bytes // max(row_bytes, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def row_bytes(array: NDArray[Any]) -> int:
    """Bytes of one row of an array (rows, ...)."""
    return int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
