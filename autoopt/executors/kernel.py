"""What the Linux kernel does for us and other systems do not: there, these calls do nothing.

Sources: prctl(2) PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER; proc(5) /proc/pid/task/tid/children, oom_score_adj.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

import psutil

SERVER_MARK = "AUTOOPT_SERVER"
"""Environment variable by which all descendants of a server can be found, wherever they went."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE = 500  # of 1000: the kernel takes an attempt before the orchestrator
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the parent dies; exit now if it has died already. Call it in the child, after the fork."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has died, so that they can be found and ended."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def offer_to_oom_killer() -> None:
    """Let the kernel take this process before others when memory runs out."""
    if sys.platform == "linux":
        path = Path("/proc/self/oom_score_adj")
        with contextlib.suppress(OSError, ValueError):
            if int(path.read_text()) < _OOM_SCORE:
                path.write_text(str(_OOM_SCORE))


def child_pids(pid: int | None = None) -> list[int]:
    """Pids of a process's children, by default of this one's: adopted ones and zombies included.

    Empty where the system does not tell.
    """
    found: list[int] = []
    for path in Path(f"/proc/{pid or 'self'}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in path.read_text().split()]
    return found


def kill_group(leader_pid: int, number: int) -> bool:
    """Signal the process group of `leader_pid`; False when nothing of it is left."""
    try:
        os.killpg(leader_pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of groups that hold zombies only
        return False
    return True


def kill_marked(mark: str) -> bool:
    """Kill every process that was started under the server of that mark; False when there is none left.

    Zombies do not count: they may wait long for whoever has adopted them.
    """
    found = False
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(SERVER_MARK) == mark:
                process.kill()
                found = True
    return found
