"""Transactions: the one place where SQLAlchemy's errors are caught, retried and translated."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from autoopt.errors import LedgerUnavailable
from autoopt.ledger.engines import READ_ONLY, make_engine

T = TypeVar("T")

_TRANSIENT_SQLSTATES: Final = ("08", "40", "53300", "57P0")
"""PostgreSQL: connection lost, serialization or deadlock, too many connections, server going down or coming up."""
_HINTS: Final = {
    "disk is full": "Free space on its disk; nothing recorded so far is lost.",
    "readonly": "Make the file and its folder writable, or use another --home.",
    "unable to open": "Check that the folder exists and can be written.",
    "not a database": "The file is something else: give another path.",
    "malformed": "The file is damaged: restore a copy, or begin with another --home.",
    "locked": "Another program keeps it locked: find it with `lsof` and end it.",
}


class Database:
    """An engine with short transactions. Safe for several threads; writes of one process queue up here."""

    def __init__(self, url: URL, *, patience_s: float) -> None:
        self.url = url
        self.patience_s = patience_s
        self.engine = make_engine(url, busy_timeout_s=patience_s)
        self._reader = self.engine.execution_options(**{READ_ONLY: True})
        self._writing = threading.Lock()  # also because SQLite's own waiting polls, and a lock hands over at once

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def shown(self) -> str:
        """The URL without its password, for messages."""
        return self.url.render_as_string()

    def read(self, work: Callable[[Connection], T], *, patient: bool = True) -> T:
        """`work` in one transaction that sees one state and blocks nobody. Raises LedgerUnavailable."""

        def transaction() -> T:
            with self._reader.begin() as connection:
                return work(connection)

        return self._patiently(transaction, self.patience_s if patient else 0.0)

    def write(self, work: Callable[[Connection], T]) -> T:
        """`work` in one write transaction: all of it or nothing. May run `work` again. Raises LedgerUnavailable."""

        def transaction() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        with self._writing:  # through all tries: a StudyWriter knows by the newest mark whether its commit went through
            return self._patiently(transaction, self.patience_s)

    def close(self) -> None:
        """Close every connection; using the database again opens new ones."""
        self.engine.dispose()

    def _patiently(self, transaction: Callable[[], T], patience_s: float) -> T:
        deadline = time.monotonic() + patience_s
        pause_s = 0.02
        while True:
            try:
                return transaction()
            except SQLAlchemyError as error:
                if not _is_transient(error) or time.monotonic() >= deadline:
                    raise self.unavailable(error) from error
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # jitter: two that met must not meet again
            pause_s = min(2 * pause_s, 1.0)

    def unavailable(self, error: SQLAlchemyError) -> LedgerUnavailable:
        """What to tell of a SQLAlchemy error, in one line."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        said = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        return self.failed(said)

    def failed(self, said: str) -> LedgerUnavailable:
        """What to tell when the database, or the system below it, said no."""
        hint = next(
            (text for sign, text in _HINTS.items() if sign in said), "Check that it can be reached and written."
        )
        return LedgerUnavailable(f"The database {self.shown} said: {said.rstrip('.')}. {hint}")


def _is_transient(error: SQLAlchemyError) -> bool:
    """True when the same transaction can go through a moment later."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    state = getattr(error.orig, "sqlstate", None)  # psycopg's, which may not be installed
    if state is None:  # the connection was lost or refused, and no server answered
        return error.connection_invalidated or isinstance(error, OperationalError)
    return str(state).startswith(_TRANSIENT_SQLSTATES)
