"""Locks between processes, freed by the kernel when their holder dies.

`lockf` (POSIX record locks), not `flock`: a flock outlives its owner in a forked child. The price is that closing any
other descriptor of the same file drops the lock, so nobody but this module may open a lock file.
"""

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


class FileLock:
    """An exclusive lock on a file, which holds its owner's pid as text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, wait_s: float = 0.0) -> bool:
        """Take the lock, trying for `wait_s`; False when another process holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    os.close(handle)
                    raise
            if time.monotonic() >= deadline:
                os.close(handle)
                return False
            time.sleep(0.01)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def owner_pid(self) -> int | None:
        """Pid written by the holder. Only for processes that do not hold the lock (see the module's note)."""
        if self._handle is not None:
            return os.getpid()
        try:
            text = self.path.read_text()
        except OSError:
            return None
        return int(text) if text.isdigit() else None


@contextlib.contextmanager
def measuring_lock(*, wait_s: float = 60.0) -> Iterator[bool]:
    """Hold the machine-wide lock under which latencies are taken; yields False when it could not be had in time."""
    lock = FileLock(Path(tempfile.gettempdir()) / f"autoopt-measuring-{os.getuid()}.lock")
    held = lock.acquire(wait_s=wait_s)
    try:
        yield held
    finally:
        lock.release()
