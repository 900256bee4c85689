"""Databases to run a test over. Use: `pytest_plugins = ["support_ledger_fixtures"]` in a test module.

A file of its own, which no test imports: pytest registers it as a plugin.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_postgresql import new_database, postgresql_server

from autoopt.ledger import Ledger
from autoopt.values import Budget


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str | None]:
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'studies.db'}"
        return
    server = request.getfixturevalue("postgresql_url")
    if server is None:
        pytest.skip("no PostgreSQL server: set AUTOOPT_TEST_POSTGRESQL_URL or install one")
    with new_database(server) as url:
        yield url


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An open ledger with the study 's'."""
    with Ledger.open(database_url, create=True, patience_s=10.0) as opened:
        opened.create_study("s", {"seed": 7}, Budget(seconds=60.0, trials=10))
        yield opened
