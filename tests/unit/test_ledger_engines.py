"""Which URLs are taken, what is told of others, and what tuning does to SQLite, Optuna's engine included."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import optuna
import pytest
from sqlalchemy import create_engine, text

from autoopt.errors import LedgerUnavailable, OptionError
from autoopt.ledger import Ledger, checked_url, engine_kwargs, tune_sqlite
from autoopt.values import Budget


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not a database URL"),
        ("studies.db", "not a database URL"),
        ("mysql://u@h/d", "neither SQLite nor PostgreSQL"),
        ("postgresql+psycopg2://u@h/d", "neither SQLite nor PostgreSQL"),
        ("postgres://u@h/d", "neither SQLite nor PostgreSQL"),
        ("sqlite+aiosqlite:///x.db", "neither SQLite nor PostgreSQL"),
        ("http://127.0.0.1:5000", "neither SQLite nor PostgreSQL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x.db", "names no file"),
        ("sqlite:///x.db?mode=ro", "options after"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@h:port/d", "not a database URL"),
    ],
)
def test_other_urls_are_refused_with_what_is_allowed(url: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        checked_url(url)
    assert "sqlite:///PATH/autoopt.db or postgresql://" in str(caught.value)


def test_a_password_is_never_shown() -> None:
    for url in ("mysql://u:secret@h/d", "postgresql://u:secret@h"):
        with pytest.raises(OptionError) as caught:
            checked_url(url)
        assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_told_at_once_and_without_the_password() -> None:
    with pytest.raises(LedgerUnavailable) as caught:
        Ledger.open("postgresql://u:secret@127.0.0.1:1/d", create=True)
    assert "127.0.0.1:1/d" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_postgresql_goes_by_psycopg_and_checks_connections_before_use() -> None:
    for url in ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"):
        assert checked_url(url).render_as_string(hide_password=False) == "postgresql+psycopg://u:p@h/d"
        assert engine_kwargs(url)["pool_pre_ping"] is True


def test_a_missing_driver_is_told_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_psycopg(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "psycopg" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_psycopg)
    with pytest.raises(OptionError, match=r"pip install 'autoopt\[postgresql\]'"):
        Ledger.open("postgresql://u@h/d", create=True)


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger.open("sqlite:///here/studies.db", create=True) as ledger:
        assert ledger.url == f"sqlite:///{tmp_path / 'here' / 'studies.db'}"
    assert (tmp_path / "here" / "studies.db").is_file()


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/a b %41 ü #/st.db", create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        with ledger.own("s") as writer:
            writer.add_spent(1.0)
        with Ledger.open(ledger.url, create=False) as again:
            assert again.study("s").spent_s == 1.0


def test_tuning_reaches_connections_that_were_pooled_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    engine = create_engine(url, **engine_kwargs(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    tune_sqlite(engine)
    with engine.begin() as connection:
        found = {n: connection.execute(text(f"PRAGMA {n}")).scalar() for n in ("journal_mode", "synchronous")}
        found |= {n: connection.execute(text(f"PRAGMA {n}")).scalar() for n in ("busy_timeout", "foreign_keys")}
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30000, "foreign_keys": 1}
    engine.dispose()


def test_optuna_works_beside_us_on_a_tuned_engine(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'x.db'}", create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        storage = optuna.storages.RDBStorage(ledger.url, engine_kwargs=engine_kwargs(ledger.url))
        tune_sqlite(storage.engine)
        study = optuna.create_study(study_name="s", storage=storage, directions=["maximize", "minimize"])
        with ledger.own("s") as writer:
            for number in range(3):
                trial = study.ask()
                value = trial.suggest_float("x", 0.0, 1.0)
                writer.record_trial(trial.number, {"x": value}, f"{number:064d}", "planner")
                trial.set_constraint("latency_ms", -1.0)
                study.tell(trial, [value, 1.0])
        assert [t.recipe["x"] for t in ledger.trials("s")] == [t.params["x"] for t in study.trials]
        optuna.delete_study(study_name="s", storage=storage)
        assert ledger.totals("s").running == 3
        storage.engine.dispose()


def test_a_read_only_database_is_told(tmp_path: Path) -> None:
    """Root may write anywhere, so the file is made read-only from within."""
    path = tmp_path / "x.db"
    with Ledger.open(f"sqlite:///{path}", create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        with ledger.own("s") as writer:
            with ledger._database.engine.begin() as connection:
                connection.execute(text("PRAGMA query_only = 1"))
            with pytest.raises(LedgerUnavailable, match=r"x\.db said: attempt to write a readonly database\. Make the"):
                writer.add_spent(1.0)
