"""Images below a folder. Links are followed, but not in a circle."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from autoopt.errors import DataError, Problem
from autoopt.task.images.found import Found, ImageFile, has_picture_ending, in_order, is_hidden
from autoopt.task.table import encodable
from autoopt.task.wording import count, listed

_DEEPEST = 32  # levels of folders below the source

Identity = tuple[int, int]
"""Device and inode: the same folder under whatever name."""


@dataclass(kw_only=True)
class _Walk:
    """What was come across so far."""

    files: list[ImageFile] = field(default_factory=list)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    circles: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def find_in_folder(folder: Path) -> Found:
    """Every image below `folder`. Raises DataError for folders that may not be read."""
    walk = _Walk()
    _enter(folder, (), frozenset(), walk)
    if walk.problems:
        raise DataError(walk.problems)
    circles = (
        f"{count(len(walk.circles), 'link')} back to a folder above, or too deep, not followed: {listed(walk.circles)}."
    )
    return Found(
        name=encodable(folder.resolve().name) or "images",
        files=in_order(walk.files),
        folders=frozenset(walk.folders),
        others=tuple(sorted(walk.others)),
        warnings=(circles,) if walk.circles else (),
    )


def _enter(folder: Path, names: tuple[str, ...], above: frozenset[Identity], walk: _Walk) -> None:
    try:
        state = folder.stat()
        here = (state.st_dev, state.st_ino)
        if here in above or len(names) > _DEEPEST:
            walk.circles.append("/".join(names))
            return
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        what = f"The folder {folder} cannot be read: {error.strerror or error}."
        walk.problems.append(Problem(what=what, mend="Allow it (chmod u+rx), or take it away."))
        return
    for entry in entries:
        if is_hidden([entry.name]):
            continue
        name = encodable(entry.name)
        if _is_folder(entry):
            walk.folders.add((*names, name))
            _enter(Path(entry.path), (*names, name), above | {here}, walk)
        elif has_picture_ending(name):
            walk.files.append(ImageFile(name="/".join((*names, name)), folders=names, content=Path(entry.path)))
        else:
            walk.others.append("/".join((*names, name)))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """A link that leads nowhere is no folder; its reading fails, and is told."""
    try:
        return entry.is_dir()
    except OSError:
        return False
