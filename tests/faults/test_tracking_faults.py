"""Whatever the deliverer, the server or the owner does: nothing waits, nothing is lost, nothing comes twice.

That nothing waits is shown without a clock: the deliverer is frozen or the server silent for as long as the test
runs, so that a pump that waited for either would never return.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
from support_tracking import (
    PATIENCE_S,
    Desk,
    dead_port,
    deliverers,
    desk,
    is_gone,
    silent_server,
    stop,
    study_payload,
    study_uid,
    trial_payload,
    wait_for,
)

from autoopt.tracking import TrackingOutbox
from autoopt.tracking.outbox import MAX_STARTS

BIG = {"noise": "x" * 200_000}
"""Some of these fill any pipe."""


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "home") as made:
        yield made
    assert deliverers() == []


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, to be copied; made by two processes at once, which must get one, and it whole."""
    folder = tmp_path_factory.mktemp("mlflow")
    command = [sys.executable, "-m", "autoopt.tracking.database", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [p.wait(timeout=PATIENCE_S) for p in both] == [0, 0]
    assert [p.name for p in folder.iterdir()] == ["mlflow.db"]
    return folder / "mlflow.db"


def pump_until(outbox: TrackingOutbox, table: Desk, what: str, *, left: int = 0) -> None:
    def pumped() -> bool:
        outbox.pump(table.writer)
        return table.pending() <= left

    wait_for(pumped, what)


def started(outbox: TrackingOutbox, table: Desk) -> psutil.Process:
    """Pump until there is a deliverer."""
    return wait_for(lambda: outbox.pump(table.writer) or deliverers(), "a deliverer")[0]


def test_there_is_no_deliverer_before_the_first_trial_has_ended(table: Desk) -> None:
    table.writer.enqueue([study_payload()])
    with table.outbox() as outbox:
        for _ in range(5):
            outbox.pump(table.writer)
        assert outbox.drain(table.writer, PATIENCE_S) == 1
        assert not outbox.active
    assert not table.log.exists()


def test_a_frozen_deliverer_with_a_full_pipe_stops_nobody(table: Desk) -> None:
    table.writer.enqueue([trial_payload(n, params=BIG) for n in range(40)])
    with table.outbox() as outbox:
        frozen = started(outbox, table)
        stop(frozen)
        for _ in range(200):
            outbox.pump(table.writer)
        assert outbox.drain(table.writer, 0.3) > 0
        assert table.pending() == 40
    assert is_gone(frozen.pid)


@pytest.mark.slow
def test_a_server_that_never_answers_stops_nobody_and_close_does_not_wait_for_it(table: Desk) -> None:
    table.writer.enqueue([trial_payload(n) for n in range(5)])
    with silent_server() as (url, taken), table.outbox(url) as outbox:
        deliverer = started(outbox, table)
        wait_for(lambda: outbox.pump(table.writer) or taken, "a request")
        for _ in range(50):
            outbox.pump(table.writer)
        outbox.close()
        assert is_gone(deliverer.pid)
    assert table.pending() == 5


@pytest.mark.slow
def test_a_dead_server_and_kill_9_at_any_moment_lose_and_double_nothing(table: Desk, mlflow_database: Path) -> None:
    """A session without a server; three that end by kill -9 somewhere; a frozen deliverer that goes on; the rest."""
    random = Random(11)
    table.writer.enqueue([study_payload(), *(trial_payload(n) for n in range(80))])
    with table.outbox(f"http://127.0.0.1:{dead_port()}") as outbox:
        started(outbox, table)
        wait_for(lambda: outbox.pump(table.writer) or table.log.read_text().count("not delivered") >= 3, "some tries")
        assert outbox.active
    assert table.pending() == 81
    (table.home / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    for left in (81, 70, 40):
        with table.outbox() as outbox:
            pump_until(outbox, table, f"{left} rows left", left=left)
            started(outbox, table)
            for _ in range(random.randrange(40)):
                outbox.pump(table.writer)
            os.kill(deliverers()[0].pid, signal.SIGKILL)
            outbox.pump(table.writer)
    with table.outbox() as outbox:
        frozen = started(outbox, table)
        stop(frozen)
        for _ in range(20):
            outbox.pump(table.writer)
        frozen.send_signal(signal.SIGCONT)
        pump_until(outbox, table, "the rest to arrive")
    assert len(table.mlflow().uids()) == len(set(table.mlflow().uids())) == 81
    for number in (0, 40, 79):
        run, sent = table.mlflow().run(f"{study_uid()}/{number}"), trial_payload(number)
        assert len(run["metrics"]) == len(sent["metrics"])
        assert run["status"] == "FINISHED"


@pytest.mark.slow
def test_kill_9_while_the_database_is_made_leaves_none_or_a_whole_one(table: Desk) -> None:
    table.writer.enqueue([trial_payload(0)])
    with table.outbox() as outbox:
        started(outbox, table)
        making = lambda: outbox.pump(table.writer) or "Creating initial" in table.log.read_text()  # noqa: E731
        wait_for(making, "MLflow to make its tables")
        os.kill(deliverers()[0].pid, signal.SIGKILL)
    assert not (table.home / "mlflow.db").exists()
    table.deliver()
    assert table.mlflow().run(f"{study_uid()}/0")["status"] == "FINISHED"


def test_a_deliverer_that_keeps_dying_is_left_alone_until_the_next_session(table: Desk) -> None:
    table.writer.enqueue([trial_payload(n) for n in range(3)])
    with table.outbox() as outbox:
        seen = set()
        for _ in range(MAX_STARTS):
            victim = started(outbox, table)
            seen.add(victim.pid)
            victim.kill()
            wait_for(lambda v=victim: is_gone(v.pid), "its end")
        for _ in range(20):
            outbox.pump(table.writer)
        assert not outbox.active
        assert outbox.drain(table.writer, PATIENCE_S) > 0
    assert len(seen) == MAX_STARTS
    assert table.pending() == 3
    with table.outbox() as outbox:
        started(outbox, table)


@pytest.mark.slow
def test_a_row_that_takes_its_deliverer_with_it_does_not_take_the_others(table: Desk, mlflow_database: Path) -> None:
    (table.home / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    deadly = trial_payload(1, status="NO_SUCH_STATUS")  # MLflow raises what nobody expects
    table.writer.enqueue([trial_payload(0), deadly, trial_payload(2), trial_payload(3)])
    with table.outbox() as outbox:
        pump_until(outbox, table, "all but the deadly row to arrive", left=1)
    assert [r.payload["uid"] for r in table.writer.pending_outbox(10)] == [deadly["uid"]]
    assert table.mlflow().run(f"{study_uid()}/3")["status"] == "FINISHED"


def test_a_log_that_cannot_be_written_does_not_stop_the_search(table: Desk) -> None:
    table.log.parent.write_text("a file where the folder should be")
    table.writer.enqueue([trial_payload(0)])
    with table.outbox() as outbox:
        for _ in range(10):
            outbox.pump(table.writer)
        assert outbox.drain(table.writer, PATIENCE_S) == 1
    assert table.pending() == 1


OWNER = """
import sys
from pathlib import Path
from support_tracking import desk, trial_payload
with desk(Path(sys.argv[1])) as table:
    table.writer.enqueue([trial_payload(n) for n in range(5)])
    with table.outbox(sys.argv[2]) as outbox:
        while True:
            outbox.pump(table.writer)
"""


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_kill_9_of_the_owner_leaves_no_deliverer(tmp_path: Path, frozen: bool) -> None:
    with silent_server() as (url, _):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path / "home"), url],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        try:
            deliverer = wait_for(lambda: deliverers(owner.pid), "a deliverer")[0]
            # Not before it has asked to be ended with its owner, its first act.
            wait_for(lambda: deliverer.nice() > psutil.Process().nice() or deliverer.nice() == 19, "its start")
            if frozen:
                stop(deliverer)
        finally:
            owner.kill()
            owner.wait()
        wait_for(lambda: is_gone(deliverer.pid), "the deliverer's end")


def test_close_twice_and_a_password_that_nobody_sees(table: Desk) -> None:
    table.writer.enqueue([trial_payload(0)])
    outbox = table.outbox("http://me:secret@127.0.0.1:1")
    deliverer = started(outbox, table)
    assert "secret" not in " ".join(deliverer.cmdline())
    outbox.close()
    outbox.close()
    assert is_gone(deliverer.pid)
