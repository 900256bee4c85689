"""Loader workers that hang, die or raise, inside a real trial process: a clear failure, and nothing is left behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support_executors import GIVE_UP_S, collect, runs, wait_until

from autoopt.executors import Failed, Finished, ForkServer, Job, ProcessExecutor
from autoopt.values import FailureReason, Slot

SLOT = Slot(index=0, threads=1)


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessExecutor]:
    """One for all: what a trial does to its loader workers must not reach the next."""
    logs = tmp_path_factory.mktemp("logs")
    with ProcessExecutor([SLOT], launcher=ForkServer(), log_folder=logs, preload=("support_loader",)) as made:
        yield made


def job(tmp_path: Path, then: str, **payload: Any) -> Job:
    whole = {"then": then, "workers": 2, "file": str(tmp_path / "pids"), **payload}
    return Job(token="t", entry="support_loader:read_rows", payload=whole, slot=SLOT, progress_deadline_s=GIVE_UP_S)


def ending(executor: ProcessExecutor, tmp_path: Path, then: str, **payload: Any) -> Finished | Failed:
    executor.submit(job(tmp_path, then, **payload))
    found = collect(executor)[-1]
    assert isinstance(found, Finished | Failed)
    return found


def pids(tmp_path: Path) -> list[int]:
    return [int(pid) for pid in (tmp_path / "pids").read_text().split()]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_start_in_a_trial_process_and_end_with_it(
    executor: ProcessExecutor, tmp_path: Path, workers: int
) -> None:
    found = ending(executor, tmp_path, "work", workers=workers)
    assert isinstance(found, Finished), found
    assert found.result == {"workers": workers}
    assert len(pids(tmp_path)) == workers
    assert not any(runs(pid) for pid in pids(tmp_path))


@pytest.mark.parametrize("then", ["die", "leave"])
def test_a_worker_that_dies_fails_the_trial(executor: ProcessExecutor, tmp_path: Path, then: str) -> None:
    found = ending(executor, tmp_path, then, hang_s=2)
    assert isinstance(found, Failed)
    assert found.reason is FailureReason.CRASHED
    assert "a loader worker died" in found.message
    assert not any(runs(pid) for pid in pids(tmp_path))


def test_a_worker_that_hangs_fails_the_trial(executor: ProcessExecutor, tmp_path: Path) -> None:
    found = ending(executor, tmp_path, "hang", hang_s=1)
    assert isinstance(found, Failed)
    assert found.reason is FailureReason.HUNG
    assert "a loader worker gave no batch within its time" in found.message
    assert "loader.hang_s" in found.message
    assert not any(runs(pid) for pid in pids(tmp_path))


def test_what_a_worker_raises_is_told(executor: ProcessExecutor, tmp_path: Path) -> None:
    found = ending(executor, tmp_path, "raise")
    assert isinstance(found, Failed)
    assert found.reason is FailureReason.ERROR
    assert "OSError" in found.message
    assert "row 40 cannot be read" in found.detail
    assert not any(runs(pid) for pid in pids(tmp_path))


def test_no_worker_outlives_a_trial_that_is_killed(executor: ProcessExecutor, tmp_path: Path) -> None:
    executor.submit(job(tmp_path, "wait"))
    executor.poll(GIVE_UP_S)
    wait_until((tmp_path / "pids").exists)
    workers = pids(tmp_path)
    trial = psutil.Process(workers[0]).ppid()
    assert all(runs(pid) for pid in workers)
    os.kill(trial, signal.SIGKILL)
    found = collect(executor)[-1]
    assert isinstance(found, Failed)
    assert found.reason is FailureReason.CRASHED
    wait_until(lambda: not any(runs(pid) for pid in workers))
