"""What a source of images holds, before any of it is decoded."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from autoopt.files.pictures import PICTURE_ENDINGS, PictureError
from autoopt.task.wording import count, listed

MOST_FILE_BYTES = 256 << 20
"""The largest file that is taken for an image."""
TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".pq", ".h5", ".hdf5")
ENDINGS_TOLD = f"Images are {', '.join(PICTURE_ENDINGS)}"


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One image, not read yet or read from an archive."""

    name: str  # as messages call it: its path below the source
    folders: tuple[str, ...]  # that it lies in, below the source
    content: bytes | Path | PictureError

    def read(self) -> bytes:
        """The bytes of the file. Raises PictureError when it cannot be read, or is none."""
        if isinstance(self.content, PictureError):
            raise self.content
        return self.content if isinstance(self.content, bytes) else _file_bytes(self.content)


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that lies in a source, in the order of paths."""

    name: str
    files: tuple[ImageFile, ...]
    folders: frozenset[tuple[str, ...]]  # every folder, also without images
    others: tuple[str, ...] = ()  # files that are no images by their name
    warnings: tuple[str, ...] = ()

    def other_warnings(self) -> list[str]:
        """One warning about the files that were left out, if there are any."""
        if not self.others:
            return []
        are = "is no image" if len(self.others) == 1 else "are no images"
        return [f"{count(len(self.others), 'file')} {are} by the name and left out: {listed(self.others)}."]


def has_picture_ending(name: str) -> bool:
    """Whether a file is taken for an image."""
    return PurePath(name).suffix.lower() in PICTURE_ENDINGS


def is_hidden(parts: Iterable[str]) -> bool:
    """Whether a path is none of the user's: what systems leave behind (.DS_Store, __MACOSX/._cat.jpg)."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def in_order(files: Iterable[ImageFile]) -> tuple[ImageFile, ...]:
    """By path, the same on every machine."""
    return tuple(sorted(files, key=lambda f: (f.folders, f.name)))


def _file_bytes(path: Path) -> bytes:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
            raise PictureError("is a folder" if stat.S_ISDIR(state.st_mode) else "is no file")
        if state.st_size > MOST_FILE_BYTES:
            raise too_many_bytes()
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError("is not there") from None
    except (OSError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        raise PictureError(f"cannot be read: {reason or error}") from None


def too_many_bytes() -> PictureError:
    """Why a file is not taken for an image."""
    return PictureError(f"has more than {MOST_FILE_BYTES >> 20} MB")
