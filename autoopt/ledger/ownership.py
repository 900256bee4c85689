"""Who may write a study: a lock that the kernel or the database server frees when its holder dies.

SQLite: `lockf` on `<database>.<study id>.lock`. PostgreSQL: a session-level advisory lock on a connection of its own.
Nothing expires by the clock; a stopped process keeps its lock, and should the lock be lost (file removed, connection
cut), the epoch refuses the writes of whoever does not know.
"""

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from autoopt.files import FileLock
from autoopt.ledger.database import Database

_ADVISORY_CLASS: Final = 0x616F
"""First half of the advisory locks' keys; the second is the study's id."""
_PROBE_GRACE_S: Final = 0.5
"""A probe holds a lock for an instant: taking one waits that out before it calls a study busy."""

# A process's own lockf never refuses itself, and closing a second descriptor of a lock file drops the first's lock.
_held: set[tuple[int, Path]] = set()
_mutex = threading.Lock()


class OwnerLock(ABC):
    """The right to write one study."""

    @abstractmethod
    def acquire(self) -> bool:
        """Take it; False when a live process (this one included) has it."""

    @abstractmethod
    def release(self) -> None:
        """Give it back. Harmless when it is not held."""

    @abstractmethod
    def is_held(self) -> bool:
        """Whether any live process holds it."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what it left behind, while holding it: its study is gone for good."""


def owner_lock(database: Database, study_id: int) -> OwnerLock:
    """The lock that suits the database."""
    if not database.is_sqlite:
        return _AdvisoryLock(database, study_id)
    path = Path(str(database.url.database))
    return _PathLock(path.with_name(f"{path.name}.{study_id}.lock"))


@final
class _PathLock(OwnerLock):
    """For SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)

    @property
    def _key(self) -> tuple[int, Path]:
        return os.getpid(), self._path  # with the pid: a forked child holds nothing

    def acquire(self) -> bool:
        with _mutex:
            if self._key in _held or not self._lock.acquire(wait_s=_PROBE_GRACE_S):
                return False
            _held.add(self._key)
            return True

    def release(self) -> None:
        with _mutex:
            self._lock.release()
            _held.discard(self._key)

    def is_held(self) -> bool:
        with _mutex:
            if self._key in _held:
                return True
            if not self._path.exists():
                return False
            probe = FileLock(self._path)
            try:
                free = probe.acquire()
            except OSError:  # no right to write there: an owner cannot be told from none
                return False
            probe.release()
            return not free

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)


@final
class _AdvisoryLock(OwnerLock):
    """For PostgreSQL."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._keys = {"a": _ADVISORY_CLASS, "b": study_id}
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        try:
            connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:a, :b)"), self._keys).scalar_one()
        except SQLAlchemyError as error:
            raise self._database.unavailable(error) from error
        if not taken:
            connection.close()
            return False
        self._connection = connection
        return True

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.execute(text("SELECT pg_advisory_unlock(:a, :b)"), self._keys)
            except SQLAlchemyError:
                connection.invalidate()  # the lock goes with the connection, which must not return to the pool
            connection.close()

    def is_held(self) -> bool:
        query = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
            "AND classid = :a AND objid = :b "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        count: int = self._database.read(lambda connection: connection.execute(query, self._keys).scalar_one())
        return count > 0

    def discard(self) -> None:
        """Nothing: the server keeps no trace."""
