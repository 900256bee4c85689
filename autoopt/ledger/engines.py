"""Engines for the databases that a ledger may lie in: SQLite by path, PostgreSQL by URL.

The recipe for SQLite is also applied to Optuna's engine by the planner: both write to one file.
"""

import contextlib
import importlib.util
import sqlite3
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autoopt.errors import OptionError
from autoopt.files import user_path

READ_ONLY: Final = "autoopt_read_only"
"""Execution option of a connection whose transactions only read."""
DATABASE_ERRORS: Final = (SQLAlchemyError,)
"""What a database may raise through Optuna, for the planner, which names no sqlalchemy."""
_ALLOWED = "Give sqlite:///PATH/autoopt.db or postgresql://USER:PASSWORD@HOST/DATABASE."


def checked_url(url: str) -> URL:
    """`url` with an absolute path or the psycopg driver filled in. Raises OptionError for anything else."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise OptionError(f"--storage {url!r} is not a database URL.", _ALLOWED) from None
    shown = parsed.render_as_string()  # without the password
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise OptionError(f"--storage {shown!r} names no file, and a study must outlive its process.", _ALLOWED)
        if parsed.query:
            raise OptionError(f"--storage {shown!r} has options after '?', which SQLite files take none of.", _ALLOWED)
        return URL.create("sqlite", database=str(user_path(parsed.database).resolve()))
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise OptionError(f"--storage {shown!r} is neither SQLite nor PostgreSQL with psycopg.", _ALLOWED)
    if importlib.util.find_spec("psycopg") is None:
        raise OptionError(
            f"--storage {shown!r} needs the package psycopg, which is not installed.",
            "Install it: pip install 'autoopt[postgresql]'.",
        )
    if not parsed.database:
        raise OptionError(f"--storage {shown!r} names no database.", _ALLOWED)
    return parsed.set(drivername="postgresql+psycopg")


def engine_kwargs(url: str, *, busy_timeout_s: float = 30.0) -> dict[str, Any]:
    """Arguments for create_engine (and RDBStorage's `engine_kwargs`) that suit the URL. Raises OptionError."""
    if checked_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"check_same_thread": False, "timeout": busy_timeout_s}}
    keepalives = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10, **keepalives}}


def tune_sqlite(engine: Engine, *, busy_timeout_s: float = 30.0) -> None:
    """Make a SQLite engine safe for several processes: WAL, waiting for locks, and write locks taken at once.

    Without BEGIN IMMEDIATE a transaction that reads and then writes fails as soon as another one wrote in between.
    Connections that are pooled already are closed, so that all follow. Other databases' engines are left as they are.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}")  # first: the next one may wait
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    engine.dispose()


def make_engine(url: URL, *, busy_timeout_s: float) -> Engine:
    """An engine for a checked URL; nothing is connected yet."""
    text = url.render_as_string(hide_password=False)
    engine = create_engine(url, **engine_kwargs(text, busy_timeout_s=busy_timeout_s))
    tune_sqlite(engine, busy_timeout_s=busy_timeout_s)
    return engine
