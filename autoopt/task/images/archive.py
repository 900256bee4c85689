"""Images in a .tar, .tar.gz, .tgz or .zip: read into memory, packed as images are; nothing is written to disk."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, final

from autoopt.errors import DataError
from autoopt.files.pictures import PictureError
from autoopt.task.images.found import (
    MOST_FILE_BYTES,
    Found,
    ImageFile,
    has_picture_ending,
    in_order,
    is_hidden,
    too_many_bytes,
)
from autoopt.task.table import encodable
from autoopt.values import format_bytes

MOST_ARCHIVE_BYTES = 4 << 30
"""What the images of an archive may take in memory, as they are in their files."""
_RATIO, _RATIO_FROM = 200, 32 << 20  # images hardly pack; a bomb packs 1000 times
_GZIP = b"\x1f\x8b"
_TAR_ERRORS = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, zlib.error, OSError, ValueError, RuntimeError)


@dataclass(kw_only=True)
class _Members:
    """What was come across so far, by path: a later member of the same name takes the place of the first."""

    files: dict[tuple[str, ...], ImageFile] = field(default_factory=dict)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    def wants(self, parts: tuple[str, ...]) -> bool:
        """Whether a file's content is needed; notes its folders."""
        if not parts or is_hidden(parts):
            return False
        self.folders.update(parts[:k] for k in range(1, len(parts)))
        if not has_picture_ending(parts[-1]) or ".." in parts:
            self.others.append("/".join(parts))
            return False
        return True

    def add(self, parts: tuple[str, ...], content: bytes | PictureError) -> None:
        self.files[parts] = ImageFile(name="/".join(parts), folders=parts[:-1], content=content)


def find_in_archive(path: Path) -> Found:
    """Every image of an archive. Raises DataError when it cannot be read, is damaged, encrypted, or far too large."""
    members = _Members()
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes).", "Fetch or pack it again.")
        (_read_zip if path.name.lower().endswith(".zip") else _read_tar)(path, members)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    except (*_TAR_ERRORS, *_ZIP_ERRORS) as error:
        if isinstance(error, DataError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path} cannot be read as an archive: {reason}.", "Fetch or pack it again.") from None
    return _without_top(path.name, members)


def _without_top(name: str, members: _Members) -> Found:
    """Paths below the one folder that all images lie in, if there is one and classes lie below it."""
    tops = {parts[0] for parts in members.files}
    cut = int(len(tops) == 1 and max(map(len, members.files)) > 2)
    files = [
        ImageFile(name="/".join(parts[cut:]), folders=file.folders[cut:], content=file.content)
        for parts, file in members.files.items()
    ]
    folders = {parts[cut:] for parts in members.folders if not cut or parts[0] in tops}
    return Found(
        name=name, files=in_order(files), folders=frozenset(folders - {()}), others=tuple(sorted(members.others))
    )


def _parts(name: str) -> tuple[str, ...]:
    """The names along a member's path. It is only a name: nothing is written, so that it leads nowhere."""
    return tuple(p for p in PurePosixPath(encodable(name)).parts if p not in ("/", "//", "."))


def _read_tar(path: Path, members: _Members) -> None:
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        capped = _Capped(stream, path)
        with tarfile.open(fileobj=capped, mode="r|") as tar:
            for member in tar:
                parts = _parts(member.name)
                if member.isdir() and not is_hidden(parts):
                    members.folders.add(parts)
                # links and devices lead elsewhere, and a sparse file is no image
                if not member.isreg() or member.issparse() or not members.wants(parts):
                    continue
                content = tar.extractfile(member) if member.size <= MOST_FILE_BYTES else None
                members.add(parts, content.read() if content is not None else too_many_bytes())


@final
class _Capped(io.RawIOBase):
    """A stream that ends with an error when more comes out of it than an archive of images holds."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._most = _most_bytes(path)
        self._given = 0

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(size)
        self._given += len(found)
        if self._given > self._most:
            raise _grown(self._path, self._most)
        return found


def _read_zip(path: Path, members: _Members) -> None:
    left = _most_bytes(path)
    with zipfile.ZipFile(path) as file:
        for info, parts in _wanted(file, members):
            if info.flag_bits & 1:
                raise DataError(f"{path} is encrypted.", "Unpack it, and give the folder.")
            if info.file_size > MOST_FILE_BYTES:
                members.add(parts, too_many_bytes())
                continue
            try:
                with file.open(info) as member:
                    content = member.read(MOST_FILE_BYTES + 1)  # the size in its header may be a lie
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                members.add(parts, PictureError(f"is damaged in the archive: {error}"))
                continue
            left -= len(content)
            if left < 0:
                raise _grown(path, _most_bytes(path))
            members.add(parts, content)


def _wanted(file: zipfile.ZipFile, members: _Members) -> Iterator[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    for info in file.infolist():
        parts = _parts(info.filename.replace("\\", "/"))
        if info.is_dir():
            if not is_hidden(parts):
                members.folders.add(parts)
        elif members.wants(parts):
            yield info, parts


def _most_bytes(path: Path) -> int:
    return min(MOST_ARCHIVE_BYTES, max(_RATIO_FROM, _RATIO * path.stat().st_size))


def _grown(path: Path, most: int) -> DataError:
    what = f"{path} ({format_bytes(path.stat().st_size)}) unpacks to more than {format_bytes(most)}."
    return DataError(what, "If it is an archive of images, unpack it and give the folder.")
