"""Runs a command for as long as somebody holds the other end of stdin, then ends it with everything it started.

`python -I leash.py COMMAND...`. MLflow's server starts workers that outlive it when it is killed; and whoever asked
for the page may be killed too, or lose the terminal. The end of a pipe tells in every case. Run as a file, and with
the standard library only: it stays in memory for as long as the page does.
"""

import os
import select
import signal
import subprocess
import sys
import time

GRACE_S = 5.0
LOOK_S = 0.2


def main(command: list[str]) -> int:
    """Returns the command's exit status; 0 when it was ended from here."""
    # A group of its own: this process must outlive the others to see that they are gone.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's; its owner's end is told by the pipe
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    while child.poll() is None:
        if _let_go():
            _end(child)
            return 0
    _end(child)  # what it started must not stay without it
    return child.returncode


def _let_go() -> bool:
    """Wait a moment for stdin's end."""
    try:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        return bool(readable) and not os.read(0, 4096)
    except OSError:  # closed by SIGTERM
        return True


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + GRACE_S
        signal_now: int = number
        while _signal_group(child, signal_now) and time.monotonic() < end:
            signal_now = 0  # only look whether anybody is left
            time.sleep(0.05)


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> bool:
    """Whether the group still has members."""
    child.poll()
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):  # nobody; on macOS: only zombies
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
