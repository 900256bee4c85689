"""Attempts that fill the memory: ended before the machine is full, and nobody else with them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_executors import GIVE_UP_S, collect, job, run, wait_for_progress

from autoopt.devices import Cgroups
from autoopt.executors import Failed, Finished, ForkServer, FreshProcess, Launcher, ProcessExecutor
from autoopt.executors.memory import MemoryWatch
from autoopt.values import FailureReason, Slot

SLOTS = (Slot(index=0, threads=1), Slot(index=1, threads=1))
LIMIT_BYTES = 300_000_000
TOO_MUCH_MB = 3000
"""Ten times the limit: an attempt that nobody ends still leaves a machine standing."""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="pages that are shared are told on Linux only")


@contextmanager
def made(folder: Path, launcher: Launcher) -> Iterator[ProcessExecutor]:
    with ProcessExecutor(
        SLOTS, launcher=launcher, log_folder=folder, preload=("support_executors",), memory_bytes=LIMIT_BYTES
    ) as executor:
        yield executor


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[ProcessExecutor]:
    with made(tmp_path, ForkServer()) as found:
        yield found


def is_told(ending: Finished | Failed) -> None:
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.OUT_OF_MEMORY
    assert "all trials together may take 300 MB (--memory)" in ending.message


@pytest.mark.parametrize("in_helper", [False, True], ids=["itself", "a helper"])
def test_an_attempt_that_fills_the_memory_is_ended(executor: ProcessExecutor, in_helper: bool) -> None:
    is_told(run(executor, "fill_memory", megabytes=TOO_MUCH_MB, in_helper=in_helper))
    assert isinstance(run(executor, "double", value=2), Finished)


def test_so_is_one_in_an_interpreter_of_its_own(tmp_path: Path) -> None:
    with made(tmp_path, FreshProcess()) as executor:
        is_told(run(executor, "fill_memory", megabytes=TOO_MUCH_MB))


def test_the_one_that_holds_most_goes_and_the_other_stays(executor: ProcessExecutor, tmp_path: Path) -> None:
    file = tmp_path / "go"
    executor.submit(job("small", "wait_for_file", SLOTS[0], file=str(file)))
    wait_for_progress(executor)
    executor.submit(job("large", "fill_memory", SLOTS[1], megabytes=TOO_MUCH_MB))
    (large,) = collect(executor)
    assert isinstance(large, Failed)
    assert (large.token, large.reason) == ("large", FailureReason.OUT_OF_MEMORY)
    file.touch()
    assert collect(executor) == [Finished(token="small", result={})]


@linux_only
def test_what_helpers_share_with_their_attempt_counts_once(executor: ProcessExecutor) -> None:
    ending = run(executor, "fill_memory", megabytes=150, shared_by=4)
    assert ending == Finished(token="only", result={"filled": 15})


@contextmanager
def holding(*megabytes: int) -> Iterator[list[int]]:
    """Processes that hold so much each."""
    code = "import sys; kept = b'x' * (int(sys.argv[1]) * 1_000_000); print(len(kept), flush=True); sys.stdin.read()"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(m)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for m in megabytes
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.communicate(timeout=GIVE_UP_S)


def container(folder: Path, used_bytes: int) -> Cgroups:
    """One with a gigabyte: 50 MB of it stay free."""
    for name, text in {"memory.max": 1_000_000_000, "memory.current": used_bytes, "membership": "0::/"}.items():
        (folder / name).write_text(f"{text}\n")
    return Cgroups(root=folder, membership=folder / "membership")


def test_without_a_limit_the_machine_is_kept_from_filling_up(tmp_path: Path) -> None:
    with holding(20, 150) as (small, large):
        full = MemoryWatch(groups=container(tmp_path, 980_000_000))
        found = full.verdict([small, large])
        assert found is not None
        assert found[0] == large
        assert "left 20 MB free: it was ended before the machine would swap" in found[1]
        assert full.verdict([small]) is None  # others have filled it
        assert full.verdict([]) is None
        container(tmp_path, 900_000_000)
        assert full.verdict([small, large]) is None
