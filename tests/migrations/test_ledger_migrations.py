"""Databases of other schemas: told, upgraded, and never half upgraded."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text

from autoopt.errors import LedgerUnavailable, OptionError, SchemaMismatch, StudyNotFound
from autoopt.files import resource_folder
from autoopt.ledger import Ledger, OutboxRow, upgrade
from autoopt.ledger.schema import REVISIONS, VERSION_TABLE, metadata
from autoopt.values import AttemptState, Budget, Measurement, TrialState

pytest_plugins = ["support_ledger_fixtures"]


@pytest.fixture
def old_url(tmp_path: Path) -> str:
    """A database of the first schema, with one study."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parent / "schema_0001.sql").read_text())
    connection.close()
    return f"sqlite:///{path}"


def test_an_old_database_is_refused_with_the_command_that_upgrades_it(old_url: str) -> None:
    for create in (False, True):
        with pytest.raises(SchemaMismatch) as caught:
            Ledger.open(old_url, create=create)
        said = str(caught.value)
        assert "schema 0001" in said
        assert f"autoopt db upgrade --storage {old_url}" in said
        assert caught.value.exit_code == 2


def test_upgrading_keeps_every_row(old_url: str) -> None:
    before = _dump(old_url)
    assert upgrade(old_url) == "0001"
    after = _dump(old_url)
    assert {row for row in before if "ao_exports" not in row and VERSION_TABLE not in row} <= after
    with Ledger.open(old_url, create=False) as ledger:
        study = ledger.study("old")
        assert (study.spec, study.budget, study.spent_s) == ({"target": "income"}, Budget(seconds=300.0), 12.5)
        assert [t.state for t in ledger.trials("old")] == [
            TrialState.COMPLETE,
            TrialState.FAILED,
            TrialState.DUPLICATE,
            TrialState.RUNNING,
        ]
        assert ledger.trials("old")[0].measures == {"quality": Measurement(value=0.91, low=0.9, high=0.92)}
        assert [(r.step, r.value) for r in ledger.steps("old", 0)] == [(1, 0.5)]
        [export] = ledger.exports("old")
        assert (export.sha256, export.artifact_key) == ("c" * 64, "")
        assert export.test == Measurement(value=0.9, low=0.88, high=0.92)


def test_an_upgraded_study_goes_on(old_url: str) -> None:
    upgrade(old_url)
    with Ledger.open(old_url, create=False) as ledger, ledger.own("old") as writer:
        assert writer.epoch == 4
        assert [t.number for t in writer.recover()] == [3]
        assert ledger.attempts("old")[-1].state is AttemptState.LOST
        pending: list[OutboxRow] = writer.pending_outbox(5)
        assert [r.payload for r in pending] == [{"n": 1}]
        writer.record_final_measures({}, {0: (TrialState.INFEASIBLE, "latency_ms<=1")})
        writer.record_export(0, "quantized", "p", "d" * 64, None, artifact_key="e" * 64)


def test_upgrading_twice_changes_nothing(old_url: str) -> None:
    upgrade(old_url)
    once = _dump(old_url)
    assert upgrade(old_url) == REVISIONS[-1]
    assert _dump(old_url) == once


def test_an_upgrade_that_fails_leaves_the_old_database(old_url: str) -> None:
    path = str(make_url(old_url).database)
    connection = sqlite3.connect(path)
    connection.execute("CREATE INDEX ao_outbox_pending ON ao_outbox (id)")  # the last thing that 0002 makes
    connection.commit()
    connection.close()
    before = _dump(old_url)
    with pytest.raises(LedgerUnavailable, match="ao_outbox_pending"):
        upgrade(old_url)
    assert _dump(old_url) == before
    with pytest.raises(SchemaMismatch, match="schema 0001"):
        Ledger.open(old_url, create=False)


def test_a_newer_database_says_what_to_do(database_url: str) -> None:
    Ledger.open(database_url, create=True).close()
    _run(database_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for use in (lambda: Ledger.open(database_url, create=True), lambda: upgrade(database_url)):
        with pytest.raises(SchemaMismatch, match=r"schema 9999.*newer autoopt.*update this installation.*--home"):
            use()


def test_the_first_schema_is_upgraded_on_every_database(database_url: str, tmp_path: Path) -> None:
    path = make_url(database_url).database
    if database_url.startswith("sqlite"):
        Path(str(path)).touch()
    assert upgrade(database_url, revision="0001") is None
    with pytest.raises(SchemaMismatch, match="schema 0001"):
        Ledger.open(database_url, create=True)
    assert upgrade(database_url) == "0001"
    Ledger.open(database_url, create=False).close()


def test_revisions_make_the_tables_that_queries_use(database_url: str) -> None:
    Ledger.open(database_url, create=True).close()
    engine = create_engine(make_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": False,
                "include_name": lambda name, kind, _: kind != "table" or name != VERSION_TABLE,
            },
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_revision_is_known() -> None:
    config = Config()
    config.set_main_option("script_location", str(resource_folder("storage") / "alembic"))
    config.set_main_option("path_separator", "os")
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert tuple(s.revision for s in reversed(scripts)) == REVISIONS


def test_the_frozen_first_schema_is_what_its_revision_makes(tmp_path: Path, old_url: str) -> None:
    fresh = tmp_path / "fresh.db"
    fresh.touch()
    upgrade(f"sqlite:///{fresh}", revision="0001")
    assert _schema(f"sqlite:///{fresh}") == _schema(old_url), "a released revision was edited: add another instead"


def test_many_that_create_at_once_make_one_database(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for opened in [pool.submit(Ledger.open, database_url, create=True) for _ in range(4)]:
            opened.result().close()
    with Ledger.open(database_url, create=False) as ledger:
        assert ledger.studies() == []


def test_no_database_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "studies.db"
    for use in (lambda: Ledger.open(f"sqlite:///{path}", create=False), lambda: upgrade(f"sqlite:///{path}")):
        with pytest.raises(StudyNotFound, match="no study database at"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_holds_no_studies(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        Path(str(make_url(database_url).database)).touch()
    with pytest.raises(StudyNotFound, match="no studies"):
        Ledger.open(database_url, create=False)


def test_optuna_s_tables_may_be_there_first(database_url: str) -> None:
    _run(database_url, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    _run(database_url, "INSERT INTO alembic_version VALUES ('v3.2.0.a')")
    with Ledger.open(database_url, create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
    engine = create_engine(make_url(database_url))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["v3.2.0.a"]
    engine.dispose()


def test_mlflow_s_database_is_refused_and_left_alone(database_url: str) -> None:
    for table in ("experiments", "registered_models"):
        _run(database_url, f"CREATE TABLE {table} (id INTEGER)")
    with pytest.raises(SchemaMismatch, match="MLflow's"):
        Ledger.open(database_url, create=True)
    engine = create_engine(make_url(database_url))
    with engine.connect() as connection, pytest.raises(Exception, match="ao_studies"):
        connection.execute(text("SELECT * FROM ao_studies"))
    engine.dispose()


@pytest.mark.parametrize(
    "content", [b"this is a text, and not a database at all, whatever its name says\n" * 40, b"SQLite format 3\x00" * 9]
)
def test_a_file_that_is_no_database_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "studies.db"
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=r"studies\.db said: file is not a database"):
        Ledger.open(f"sqlite:///{path}", create=True)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match=r"studies\.db said"):
        Ledger.open(f"sqlite:///{tmp_path / 'file' / 'studies.db'}", create=True)
    with pytest.raises(OptionError):
        Ledger.open("sqlite://", create=True)


def _run(url: str, statement: str) -> None:
    engine = create_engine(make_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _dump(url: str) -> set[str]:
    connection = sqlite3.connect(str(make_url(url).database))
    try:
        return set(connection.iterdump())
    finally:
        connection.close()


def _schema(url: str) -> set[tuple[str, str]]:
    connection = sqlite3.connect(str(make_url(url).database))
    try:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {(name, " ".join(sql.split())) for name, sql in rows}
    finally:
        connection.close()
