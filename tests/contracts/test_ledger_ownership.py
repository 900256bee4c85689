"""One owner a study: who is refused, who is fenced, and what a death frees."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from support_ledger import DONE, SHA, OwnerProcess, owner_process

from autoopt.errors import LedgerUnavailable, OwnershipLost, StudyBusy
from autoopt.ledger import Ledger
from autoopt.values import AttemptState, Budget

pytest_plugins = ["support_ledger_fixtures"]


def test_taking_a_study_bumps_the_epoch_and_leaving_frees_it(ledger: Ledger) -> None:
    for epoch in (1, 2):
        with ledger.own("s") as writer:
            assert writer.epoch == ledger.study("s").epoch == epoch
            assert ledger.study("s").owner == os.getpid()
        assert ledger.study("s").owner is None


def test_a_second_owner_is_refused_with_the_first_one_s_pid(ledger: Ledger) -> None:
    with owner_process(ledger.url) as first:
        assert first.says() == "owns 1"
        assert ledger.study("s").owner == first.pid
        assert ledger.studies()[0].owner == first.pid
        with pytest.raises(StudyBusy, match=rf"process {first.pid} "), ledger.own("s"):
            pass
        with owner_process(ledger.url) as second:
            assert re.match(rf"StudyBusy .*process {first.pid} ", second.says())
        first.write(0)
        assert first.says() == "wrote 0", "the refused ones must not have broken the first one's lock"


def test_a_second_owner_in_the_same_process_is_refused(ledger: Ledger) -> None:
    with ledger.own("s") as writer, Ledger.open(ledger.url, create=False) as again:
        with pytest.raises(StudyBusy, match=str(os.getpid())), again.own("s"):
            pass
        assert again.study("s").owner == os.getpid()
        writer.add_spent(1.0)
        with owner_process(ledger.url) as other:
            assert other.says().startswith("StudyBusy"), "the refusal freed the lock"


def test_studies_are_owned_one_by_one(ledger: Ledger) -> None:
    ledger.create_study("other", {}, Budget(trials=1))
    with ledger.own("s"), ledger.own("other") as other:
        other.add_spent(1.0)
    assert ledger.study("other").spent_s == 1.0


def test_an_error_in_the_block_frees_the_study(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.own("s"):
        raise KeyError
    with ledger.own("s") as writer:
        assert writer.epoch == 2


def test_a_killed_owner_frees_the_study_at_once(ledger: Ledger) -> None:
    with owner_process(ledger.url) as first:
        assert first.says() == "owns 1"
        first.write(0)
        assert first.says() == "wrote 0"
        first.kill()
    _wait_until_unowned(ledger)
    with owner_process(ledger.url) as second:
        assert second.says() == "owns 2"
    assert ledger.totals("s").complete == 1


def test_a_stopped_owner_keeps_its_study_however_long(ledger: Ledger) -> None:
    with owner_process(ledger.url) as first:
        assert first.says() == "owns 1"
        first.signal(signal.SIGSTOP)
        with pytest.raises(StudyBusy, match=str(first.pid)), ledger.own("s"):
            pass
        first.signal(signal.SIGCONT)
        first.write(0)
        assert first.says() == "wrote 0"


def test_an_owner_that_lost_its_lock_while_stopped_is_fenced(ledger: Ledger) -> None:
    with owner_process(ledger.url) as first:
        assert first.says() == "owns 1"
        first.signal(signal.SIGSTOP)
        _break_lock(ledger, first)
        with ledger.own("s") as second:
            assert second.epoch == 2
            second.record_trial(0, {"n": 0}, SHA, "planner")
            before = ledger.trials("s")
            first.signal(signal.SIGCONT)
            first.write(1)
            assert first.says().startswith("OwnershipLost")
            assert ledger.trials("s") == before
            assert ledger.study("s").owner == os.getpid(), "the fenced one must not sign the new owner off"
            assert second.finish_trial(second.start_attempt(0, 0), 0, DONE)


def test_recovery_after_a_takeover_refuses_the_old_token(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        writer.record_trial(0, {"n": 0}, SHA, "planner")
        old = writer.start_attempt(0, 0)
    with ledger.own("s") as writer:
        writer.recover()
        assert not writer.finish_trial(old, 0, DONE, [{"n": 0}])
        assert ledger.attempts("s")[0].state is AttemptState.LOST
        assert writer.pending_outbox(1) == []


def test_two_that_come_at_once_never_both_own(ledger: Ledger) -> None:
    inside = 0
    most = 0
    guard = threading.Lock()

    def contend() -> None:
        nonlocal inside, most
        for _ in range(10):
            try:
                with Ledger.open(ledger.url, create=False) as mine, mine.own("s") as writer:
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    writer.add_spent(1.0)
                    with guard:
                        inside -= 1
            except StudyBusy:
                continue

    threads = [threading.Thread(target=contend) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert ledger.study("s").spent_s == ledger.study("s").epoch


def test_a_removed_study_stops_its_writer(ledger: Ledger) -> None:
    with ledger.own("s") as writer:
        engine = create_engine(make_url(ledger.url))
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM ao_studies"))
        engine.dispose()
        with pytest.raises(OwnershipLost, match="removed"):
            writer.add_spent(1.0)


def _break_lock(ledger: Ledger, first: OwnerProcess) -> None:
    """What must not happen and does: the lock file is deleted, the lock's connection is cut."""
    url = make_url(ledger.url)
    if url.get_backend_name() == "sqlite":
        Path(f"{url.database}.{ledger.study('s').id}.lock").unlink()
        return
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        connection.execute(text(cut))
    engine.dispose()
    _wait_until_unowned(ledger)


def _wait_until_unowned(ledger: Ledger) -> None:
    """PostgreSQL sees a dead client when it next looks at its connection."""
    for _ in range(200):
        if ledger.study("s").owner is None:
            return
        threading.Event().wait(0.05)
    raise LedgerUnavailable("the study is still owned 10 s after its owner's end")
