"""A PostgreSQL server for tests: AUTOOPT_TEST_POSTGRESQL_URL, or a temporary cluster when server binaries are found.

`postgresql_server()` yields an administrator's URL or None; `new_database(url)` yields the URL of an empty database.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

_SETTINGS = (
    "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=16MB -c max_connections=60"
)


@contextlib.contextmanager
def postgresql_server() -> Iterator[str | None]:
    """URL of a server on which databases may be made; None when there is none and none can be started."""
    given = os.environ.get("AUTOOPT_TEST_POSTGRESQL_URL")
    if given:
        yield given
        return
    binaries = _binaries()
    user = _server_user()
    if binaries is None or user is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="autoopt-pg-"))  # short: a socket's path has 107 bytes
    try:
        with _cluster(binaries, user, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """URL of an empty database, dropped at the end whoever is still connected."""
    name = f"autoopt_{secrets.token_hex(6)}"
    url = make_url(server_url).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False)
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.dispose()


def _binaries() -> Path | None:
    candidates = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which("initdb")
    if found:
        candidates.insert(0, Path(found).resolve().parent)
    return next((c for c in candidates if (c / "initdb").exists() and (c / "pg_ctl").exists()), None)


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@contextlib.contextmanager
def _cluster(binaries: Path, user: str, folder: Path) -> Iterator[str]:
    who = pwd.getpwnam(user)
    if os.getuid() == 0:
        os.chown(folder, who.pw_uid, who.pw_gid)
    data = folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        switch = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        subprocess.run(
            command, check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, **switch
        )

    run(str(binaries / "initdb"), "-D", str(data), "-U", "autoopt", "--auth=trust", "--no-sync", "-E", "UTF8")
    options = f"{_SETTINGS} -p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://autoopt@127.0.0.1:{port}/postgres"
    finally:
        run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
