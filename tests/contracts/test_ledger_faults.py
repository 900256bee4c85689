"""kill -9 at any moment, readers beside a writer, lost connections, and locks that last too long."""

import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from support_ledger import DONE, QUALITY_MEASURE, SHA, owner_process

from autoopt.errors import LedgerUnavailable
from autoopt.ledger import Ledger
from autoopt.values import AttemptState, Budget, TrialState

pytest_plugins = ["support_ledger_fixtures"]

BUSY_OWNER = """
import sys
from autoopt.ledger import Ledger
from support_ledger import DONE, SHA

with Ledger.open(sys.argv[1], create=False) as ledger, ledger.own("s") as writer:
    owed = [t.number for t in writer.recover()]
    print("owns", flush=True)
    number = len(ledger.trials("s"))
    while True:
        if owed:
            mine = owed.pop(0)
        else:
            mine, number = number, number + 1
            writer.record_trial(mine, {"n": mine}, SHA, "planner")
        token = writer.start_attempt(mine, 0)
        writer.record_steps(token, [(step, "loss", 0.5) for step in range(5)])
        writer.finish_trial(token, mine, DONE, [{"n": mine}])
"""


@pytest.mark.slow
def test_a_result_is_whole_or_absent_after_kill_9_at_any_moment(ledger: Ledger) -> None:
    chance = random.Random(20)
    written: dict[int, object] = {}
    for _ in range(6):
        with owner_process(ledger.url, BUSY_OWNER) as owner:
            assert owner.says() == "owns"
            threading.Event().wait(chance.uniform(0.0, 0.15))
            owner.kill()
        _check_whole(ledger)
        now = {t.number: t for t in ledger.trials("s") if t.state is TrialState.COMPLETE}
        assert written.items() <= now.items(), "history changed"
        written = dict(now)
    for _ in range(100):
        if ledger.study("s").owner is None:
            break
        threading.Event().wait(0.05)
    with ledger.own("s") as writer:
        assert len(writer.recover()) <= 1
        assert all(a.state is not AttemptState.RUNNING for a in ledger.attempts("s"))
    assert len(written) > 8, "the owners were killed before they did anything"
    assert [t.number for t in ledger.trials("s")] == list(range(len(ledger.trials("s"))))


def _check_whole(ledger: Ledger) -> None:
    """Independent of the ledger's own queries where it can be."""
    trials = {t.number: t for t in ledger.trials("s")}
    done = [a.number for a in ledger.attempts("s") if a.state is AttemptState.DONE]
    complete = [n for n, t in trials.items() if t.state is TrialState.COMPLETE]
    assert sorted(done) == complete, "a result without its attempt, or two of them"
    for number in complete:
        assert trials[number].measures == QUALITY_MEASURE
        assert trials[number].stages
        assert trials[number].artifact_key == DONE.artifact_key
    engine = create_engine(make_url(ledger.url))
    with engine.connect() as connection:
        told = connection.execute(text("SELECT payload FROM ao_outbox ORDER BY id")).scalars().all()
        if engine.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    engine.dispose()
    assert sorted(told) == sorted(f'{{"n": {n}}}' for n in complete), "a result without its message, or two of them"


def test_readers_see_whole_states_while_a_writer_writes(ledger: Ledger) -> None:
    stop = threading.Event()
    wrong: list[str] = []
    seen: list[list[int]] = [[], []]

    def read(counts: list[int]) -> None:
        with Ledger.open(ledger.url, create=False) as mine:
            while not stop.is_set():
                trials = mine.trials("s")
                counts.append(len(trials))
                wrong.extend(
                    f"trial {t.number} is complete without measures"
                    for t in trials
                    if t.state is TrialState.COMPLETE and t.measures != QUALITY_MEASURE
                )

    readers = [threading.Thread(target=read, args=(counts,)) for counts in seen]
    for reader in readers:
        reader.start()
    with ledger.own("s") as writer:
        for number in range(30):
            writer.record_trial(number, {"n": number}, SHA, "planner")
            assert writer.finish_trial(writer.start_attempt(number, 0), number, DONE)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    for counts in seen:
        assert counts, "a reader never got its turn"
        assert counts == sorted(counts), "a trial that was seen went away"


def test_a_commit_whose_answer_was_lost_is_not_done_twice(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute, then fail: the fault that retries get wrong."""
    dialect = ledger._database.engine.dialect
    commit = dialect.do_commit
    lost = 0

    def commit_and_lose_the_answer(connection: Any) -> None:
        nonlocal lost
        commit(connection)
        lost += 1
        if lost % 2 == 1:
            raise dialect.loaded_dbapi.OperationalError("database is locked, or the connection was lost")

    with ledger.own("s") as writer:
        monkeypatch.setattr(dialect, "do_commit", commit_and_lose_the_answer)
        writer.record_trial(0, {}, SHA, "planner")
        token = writer.start_attempt(0, 0)
        assert writer.record_steps(token, [(0, "loss", 1.0)])
        assert writer.finish_trial(token, 0, DONE, [{"n": 0}]), "a second try must not take itself for a latecomer"
        writer.add_spent(1.0)
        writer.enqueue([{"n": 1}])
        ledger.create_study("another", {}, Budget(trials=1))
        assert lost > 7
        threads = [threading.Thread(target=lambda: [writer.enqueue([{"n": 2}]) for _ in range(10)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.undo()
        assert [r.payload["n"] for r in writer.pending_outbox(100)] == [0, 1, *[2] * 30]
    assert ledger.study("s").spent_s == 1.0
    assert len(ledger.steps("s", 0)) == 1
    assert [a.state for a in ledger.attempts("s")] == [AttemptState.DONE]


def test_a_long_reader_holds_up_no_writer(ledger: Ledger) -> None:
    engine = create_engine(make_url(ledger.url))
    with engine.connect() as reader, ledger.own("s") as writer:
        reader.execute(text("SELECT count(*) FROM ao_trials")).scalar_one()
        writer.record_trial(0, {}, SHA, "planner")
        assert ledger.totals("s").running == 1
    engine.dispose()


@pytest.mark.postgresql
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_writes_go_on_after_the_server_cut_every_connection(ledger: Ledger) -> None:
    admin = create_engine(make_url(ledger.url), isolation_level="AUTOCOMMIT")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = :name"
    with ledger.own("s") as writer, admin.connect() as connection:
        for number in range(5):
            connection.execute(text(cut), {"name": make_url(ledger.url).database})
            writer.record_trial(number, {"n": number}, SHA, "planner")
            writer.add_spent(1.0)
    admin.dispose()
    assert ledger.totals("s").running == 5
    assert ledger.study("s").spent_s == 5.0


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    with Ledger.open(f"sqlite:///{path}", create=True, patience_s=20.0) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with ledger.own("s") as writer:
            holder.execute("BEGIN IMMEDIATE")
            release = threading.Timer(0.5, lambda: holder.execute("COMMIT"))
            release.start()
            writer.add_spent(1.0)
            release.join()
        holder.close()
        assert ledger.study("s").spent_s == 1.0


def test_a_lock_that_lasts_is_told(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    with Ledger.open(f"sqlite:///{path}", create=True, patience_s=0.3) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        with ledger.own("s") as writer:
            holder = sqlite3.connect(path, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            assert ledger.totals("s").counted == 0, "reading needs no lock"
            with pytest.raises(LedgerUnavailable, match=r"studies\.db said: database is locked.*lsof"):
                writer.add_spent(1.0)
            holder.execute("COMMIT")
            holder.close()
            writer.add_spent(2.0)
        assert ledger.study("s").spent_s == 2.0
