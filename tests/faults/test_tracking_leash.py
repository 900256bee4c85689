"""A command on the leash ends with whoever holds it, and so does everything it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support_tracking import is_gone, wait_for

from autoopt.tracking import leash

FAMILY = """
import subprocess, sys, pathlib, os
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
if sys.argv[2] == "stay":
    child.wait()
sys.exit(3)
"""
HOLDER = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(600)
"""


def command(pids: Path, mode: str) -> list[str]:
    return [sys.executable, "-I", leash.__file__, sys.executable, "-c", FAMILY, str(pids), mode]


def family(pids: Path) -> list[int]:
    """The command's process and the one it started."""
    return [int(p) for p in wait_for(lambda: pids.exists() and pids.read_text(), "the family").split()]


def all_gone(pids: list[int]) -> None:
    wait_for(lambda: all(map(is_gone, pids)), "everybody's end")


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_letting_go_ends_the_whole_family(tmp_path: Path, frozen: bool) -> None:
    held = subprocess.Popen(command(tmp_path / "pids", "stay"), stdin=subprocess.PIPE)
    pids = family(tmp_path / "pids")
    if frozen:
        psutil.Process(pids[1]).suspend()
    assert held.stdin is not None
    held.stdin.close()
    assert held.wait(timeout=60) == 0
    all_gone(pids)


def test_a_command_that_ends_leaves_nobody_and_its_status_is_told(tmp_path: Path) -> None:
    held = subprocess.Popen(command(tmp_path / "pids", "leave"), stdin=subprocess.PIPE)
    assert held.wait(timeout=60) == 3
    all_gone(family(tmp_path / "pids"))
    assert held.stdin is not None
    held.stdin.close()


def test_sigterm_ends_it_and_a_terminal_s_signals_do_not(tmp_path: Path) -> None:
    held = subprocess.Popen(command(tmp_path / "pids", "stay"), stdin=subprocess.PIPE)
    pids = family(tmp_path / "pids")
    held.send_signal(signal.SIGINT)
    held.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        held.wait(timeout=0.5)
    held.send_signal(signal.SIGTERM)
    assert held.wait(timeout=60) == 0
    all_gone(pids)
    assert held.stdin is not None
    held.stdin.close()


def test_kill_9_of_the_holder_ends_the_whole_family(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *command(tmp_path / "pids", "stay")])
    pids = [*family(tmp_path / "pids"), *(p.pid for p in psutil.Process(holder.pid).children())]
    assert len(pids) == 3
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    all_gone(pids)
