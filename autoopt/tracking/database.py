"""Makes MLflow's SQLite database whole or not at all; as a program: `database ARTIFACT_FOLDER`, the URI by environment.

MLflow builds it by some sixty migrations, each with its own sync to disk: seconds of waiting on a busy disk, tables
half made for good when it is killed meanwhile, and a crash when two processes do it at once. So it is built in memory
(a third of the time) and put in its place with one link, which the first of two processes wins.
"""

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from autoopt.files.atomic import sync_folder
from autoopt.tracking.wording import sqlite_path

IN_MEMORY: Final = "sqlite:///:memory:"


def ensure_database(tracking_uri: str, artifact_folder: Path) -> None:
    """Make the database that a SQLite URI names, unless there is one. Raises OSError.

    `artifact_folder`: where MLflow's own 'Default' experiment would keep artifacts; else it writes down the current
    folder.
    """
    path = sqlite_path(tracking_uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _fresh_database(artifact_folder)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _fresh_database(artifact_folder: Path) -> bytes:
    store = SqlAlchemyStore(IN_MEMORY, artifact_folder.absolute().as_uri())
    pooled = store.engine.raw_connection()
    try:
        content: bytes = pooled.driver_connection.serialize()
    finally:
        pooled.close()
        store.engine.dispose()
    return content


if __name__ == "__main__":
    ensure_database(os.environ["MLFLOW_TRACKING_URI"], Path(sys.argv[1]))
