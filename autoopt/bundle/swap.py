"""Puts a folder in another's place, so that whoever looks finds the old one or the new one."""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

_NOT_OFFERED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_AT_FDCWD, _LINUX_EXCHANGE, _MACOS_SWAP = -100, 2, 2


def put_in_place(fresh: Path, folder: Path, aside: Path) -> None:
    """Make `fresh` be `folder`; what was there before is at `fresh` or `aside` afterwards. Raises OSError."""
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        # A file system that cannot exchange two names: for a moment there is neither, but never half of one
        folder.rename(aside)
        fresh.rename(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system does not offer it."""
    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _system_call() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "linux":
            rename = library.renameat2
            return lambda a, b: int(rename(_AT_FDCWD, a, _AT_FDCWD, b, _LINUX_EXCHANGE))
        rename = library.renamex_np
    except AttributeError:
        return None
    return lambda a, b: int(rename(a, b, _MACOS_SWAP))


def hold(folder: Path) -> int:
    """A descriptor that keeps `remove_leftovers` of other processes away from a folder that is being written."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a network file system without locks: nothing is removed there either
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that were killed left beside `folder`; the kernel freed their locks."""
    pattern = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{12}\.(new|old)")
    for path in folder.parent.iterdir():
        if pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_free(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_free(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
