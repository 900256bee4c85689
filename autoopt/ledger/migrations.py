"""Making, checking and upgrading the schema. Alembic is imported only when there is something to change."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from autoopt.errors import SchemaMismatch, StudyNotFound
from autoopt.files import resource_folder
from autoopt.ledger.database import Database
from autoopt.ledger.engines import checked_url
from autoopt.ledger.schema import REVISIONS, VERSION_TABLE, studies

_CREATION_LOCK = 0x6175746F
"""Key of the PostgreSQL advisory lock under which the schema changes."""


def upgrade(url: str, *, revision: str = REVISIONS[-1]) -> str | None:
    """Bring the database at `url` to `revision`, keeping its rows, and return the revision it had (None: no schema).

    Raises OptionError, LedgerUnavailable, StudyNotFound when a SQLite file is not there, and SchemaMismatch for a
    database that is newer than this version.
    """
    database = Database(checked_url(url), patience_s=30.0)
    try:
        require_file(database)
        return _migrate(database, revision)
    finally:
        database.close()


def prepare(database: Database, *, create: bool) -> None:
    """Check that the schema is this version's; with `create`, make it where there is none.

    Raises StudyNotFound when there is none and none is to be made, SchemaMismatch and LedgerUnavailable.
    """
    if not create:
        require_file(database)
    elif database.is_sqlite:
        _make_folder(database)
    found = database.read(_revision, patient=False)
    if found is None:
        if not create:
            raise StudyNotFound(f"{database.shown} holds no studies. {_BEGIN}")
        _migrate(database, REVISIONS[-1])
    elif found != REVISIONS[-1]:
        raise _mismatch(database, found)


_BEGIN = "Start one with `autoopt search`, or name the right place with --home or --storage."


def require_file(database: Database) -> None:
    """StudyNotFound when the database is a SQLite file that is not there."""
    path = database.url.database
    if database.is_sqlite and path is not None and not Path(path).is_file():
        raise StudyNotFound(f"There is no study database at {path}. {_BEGIN}")


def _make_folder(database: Database) -> None:
    folder = Path(str(database.url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise database.failed(str(error)) from error


def _mismatch(database: Database, found: str) -> SchemaMismatch:
    here = f"The database {database.shown} has schema {found}, this version of autoopt works with {REVISIONS[-1]}."
    if found in REVISIONS:
        return SchemaMismatch(f"{here} Upgrade it (studies are kept): autoopt db upgrade --storage {database.shown}")
    return SchemaMismatch(
        f"{here} It was made by a newer autoopt: update this installation, or begin a new database with another "
        "--home or --storage."
    )


def _revision(connection: Connection) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return found
    if {"experiments", "registered_models"} <= tables:
        raise SchemaMismatch(
            "That database is MLflow's, and MLflow's tables and Optuna's cannot share one. "
            "Give --storage a database of its own; MLflow's own goes to --tracking-uri."
        )
    if studies.name in tables:
        raise SchemaMismatch(f"The database has {studies.name} but not {VERSION_TABLE}: restore a copy of it.")
    return None


def _migrate(database: Database, revision: str) -> str | None:
    """One transaction, so that two that create at once do it once, and one that dies leaves nothing."""

    def work(connection: Connection) -> str | None:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
        found = _revision(connection)
        if found is not None and found not in REVISIONS:
            raise _mismatch(database, found)
        if found != revision:
            _run_alembic(connection, revision)
        return found

    return database.write(work)


def _run_alembic(connection: Connection, revision: str) -> None:
    from alembic import command  # 0.1 s, and most commands find the schema ready
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resource_folder("storage") / "alembic").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, revision)
