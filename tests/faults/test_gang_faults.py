"""Gangs whose ranks die, raise or hang: one failure that names the rank, and nothing is left behind."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support_executors import collect, gang_job, run, runs, wait_for_progress, wait_until
from support_gang import SLOTS, ended, gang_executor, trained, training_job

from autoopt.executors import Executor, Failed, Finished, ProcessExecutor, Progress
from autoopt.values import FailureReason


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[ProcessExecutor]:
    with ProcessExecutor(SLOTS, log_folder=tmp_path, preload=("support_executors",)) as made:
        yield made


def pids_of(folder: Path) -> list[int]:
    """Of the ranks, once both are there."""
    wait_until(lambda: all((folder / str(number)).exists() for number in (0, 1)))
    return [int((folder / str(number)).read_text()) for number in (0, 1)]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("others_notice", [True, False], ids=["others notice", "others wait"])
@pytest.mark.parametrize(
    ("fate", "reason", "message"),
    [
        ("send_self", FailureReason.CRASHED, "the worker was killed by SIGKILL"),
        ("divide_by_zero", FailureReason.ERROR, "ZeroDivisionError: division by zero"),
    ],
)
def test_the_failure_of_one_rank_ends_all_and_names_it(
    executor: ProcessExecutor,
    tmp_path: Path,
    victim: int,
    others_notice: bool,
    fate: str,
    reason: FailureReason,
    message: str,
) -> None:
    given = {"victim": victim, "fate": fate, "others_notice": others_notice, "pids": str(tmp_path)}
    executor.submit(gang_job("a", "come_to_harm", SLOTS, **given))
    pids = pids_of(tmp_path)
    ending = collect(executor)[-1]
    assert isinstance(ending, Failed)
    assert (ending.token, ending.reason, ending.cancelled) == ("a", reason, False)
    assert ending.message.startswith(f"rank {victim}: {message}")
    assert [pid for pid in pids if runs(pid)] == []
    assert executor.poll(0.05) == []
    assert run(executor, "count", steps=1) == Finished(token="only", result={})


def test_the_silence_of_the_leader_is_a_hang_of_all(executor: ProcessExecutor, tmp_path: Path) -> None:
    given = {"victim": 0, "fate": "sleep_for_ever", "pids": str(tmp_path)}
    executor.submit(gang_job("a", "come_to_harm", SLOTS, deadline_s=1.0, **given))
    ending = collect(executor)[-1]
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.HUNG, "rank 0: no progress for 1 s")
    assert [pid for pid in pids_of(tmp_path) if runs(pid)] == []


def test_a_rank_that_waits_for_the_leader_does_not_hang(executor: ProcessExecutor, tmp_path: Path) -> None:
    given = {"victim": 0, "fate": "keep_reporting", "steps": 20, "pause_s": 0.1, "pids": str(tmp_path)}
    executor.submit(gang_job("a", "come_to_harm", SLOTS, deadline_s=1.5, **given))
    pids = pids_of(tmp_path)
    assert collect(executor)[-1] == Finished(token="a", result={})
    assert [pid for pid in pids if runs(pid)] == []


def test_the_death_of_the_server_ends_a_gang(executor: ProcessExecutor, tmp_path: Path) -> None:
    given = {"victim": 1, "fate": "kill_server", "pids": str(tmp_path)}
    executor.submit(gang_job("a", "come_to_harm", SLOTS, **given))
    pids = pids_of(tmp_path)
    ending = collect(executor)[-1]
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.CRASHED
    assert [pid for pid in pids if runs(pid)] == []


def test_nothing_of_a_gang_is_left_after_close(tmp_path: Path) -> None:
    me = psutil.Process()
    handles = me.num_fds()
    executor = ProcessExecutor(SLOTS, preload=("support_executors",))
    executor.submit(gang_job("a", "come_to_harm", SLOTS, victim=0, fate="sleep_for_ever", pids=str(tmp_path)))
    pids = pids_of(tmp_path)
    executor.close()
    assert [pid for pid in pids if runs(pid)] == []
    assert me.num_fds() == handles


# ---- a training ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with gang_executor(tmp_path_factory.mktemp("gang")) as made:
        yield made


@pytest.mark.parametrize(
    ("fate", "reason", "message"),
    [
        ("SIGKILL", FailureReason.CRASHED, "the worker was killed by SIGKILL"),
        ("raise", FailureReason.ERROR, "ValueError: it rains"),
    ],
)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_ends_in_mid_training_is_the_one_named(
    trainer: Executor, victim: int, fate: str, reason: FailureReason, message: str
) -> None:
    trainer.submit(training_job(SLOTS, epochs=1000, victim=victim, epoch=2, fate=fate))
    ending = ended(trainer)
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (reason, f"rank {victim}: {message}")
    assert trained(trainer, SLOTS)["losses"]  # the next gang finds its slots free and its folder empty


@pytest.mark.skipif(sys.platform != "linux", reason="a stopped process is ended by its group on Linux")
def test_a_rank_that_stops_in_mid_training_hangs_all(trainer: Executor) -> None:
    trainer.submit(training_job(SLOTS, epochs=1000, victim=1, epoch=2, fate="SIGSTOP", deadline_s=2.0))
    ending = ended(trainer)
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.HUNG, "rank 0: no progress for 2 s")
    assert "gang.py" in ending.detail  # where the leader waited
    assert trained(trainer, SLOTS)["losses"]


def test_a_training_that_is_cancelled_leaves_no_rank(trainer: Executor) -> None:
    trainer.submit(training_job(SLOTS, epochs=100_000))
    leader = int(wait_for_progress(trainer).values["pid"])
    ranks = psutil.Process(leader).parent().children()  # type: ignore[union-attr]
    assert len(ranks) == 2
    trainer.cancel("t")
    while isinstance(ending := collect(trainer)[-1], Progress):
        pass
    assert isinstance(ending, Failed)
    assert ending.cancelled
    assert [rank.pid for rank in ranks if runs(rank.pid)] == []


def test_a_leader_killed_from_outside_takes_the_others_along(trainer: Executor) -> None:
    trainer.submit(training_job(SLOTS, epochs=100_000))
    leader = int(wait_for_progress(trainer).values["pid"])
    os.kill(leader, signal.SIGKILL)
    ending = ended(trainer)
    assert isinstance(ending, Failed)
    assert (ending.reason, ending.message) == (FailureReason.CRASHED, "rank 0: the worker was killed by SIGKILL")
