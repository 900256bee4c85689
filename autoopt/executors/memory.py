"""Ends an attempt that takes the memory of the machine, before the machine swaps and the kernel kills whom it likes."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, final

import psutil

from autoopt.devices import Cgroups
from autoopt.executors.kernel import child_pids
from autoopt.values import format_bytes

CHECK_S: Final = 0.1
"""Between two looks. A process fills one or two gigabytes in a second: the reserve is what it may fill in between."""
RESERVE_SHARE: Final = 0.05
RESERVE_BYTES: Final = 1_000_000_000
"""Of the machine's memory, or of the container's, this share stays free, and no more than so many bytes."""
_OWN: Final = ("Pss_Anon:", "Pss_Shmem:")


@final
class MemoryWatch:
    """Says which of several attempts has to end for its memory."""

    def __init__(self, limit_bytes: int | None = None, groups: Cgroups | None = None) -> None:
        """`limit_bytes`: what all attempts may take together; without it, all but the reserve."""
        self._limit = limit_bytes
        self._groups = groups or Cgroups()
        total = psutil.virtual_memory().total
        total = min(total, self._groups.memory_limit_bytes() or total)
        self._reserve = min(RESERVE_BYTES, int(RESERVE_SHARE * total))

    def verdict(self, leaders: Collection[int]) -> tuple[int, str] | None:
        """Of these leaders of process groups the one that has to end, and why; None while there is memory.

        One that holds less than the reserve stays even if all else is full: then others have filled it.
        """
        if not leaders:
            return None
        free = self._free_bytes()
        above = self._limit is not None and sum(map(_most_bytes, leaders)) > self._limit
        if free >= self._reserve and not above:
            return None
        held = {pid: held_bytes(pid) for pid in leaders}
        pid = max(held, key=lambda leader: held[leader])
        took = f"the trial took {format_bytes(held[pid])} of memory"
        if self._limit is not None and sum(held.values()) > self._limit:
            return pid, f"{took}, and all trials together may take {format_bytes(self._limit)} (--memory)"
        if free < self._reserve < held[pid]:
            return pid, f"{took} and left {format_bytes(free)} free: it was ended before the machine would swap"
        return None

    def _free_bytes(self) -> int:
        free = psutil.virtual_memory().available
        of_group = self._groups.memory_free_bytes()
        return free if of_group is None else min(free, of_group)


def held_bytes(leader_pid: int) -> int:
    """Memory of a process and its descendants; each page that several share, as after a fork, counts once in all.

    Files that are mapped do not count: the system drops their pages where it needs room.
    """
    return sum(map(_own_bytes, _family(leader_pid)))


def _most_bytes(leader_pid: int) -> int:
    """At least what `held_bytes` says, for a hundredth of the time."""
    return sum(map(_resident_bytes, _family(leader_pid)))


def _family(leader_pid: int) -> Iterator[int]:
    left = [leader_pid]
    while left:
        pid = left.pop()
        yield pid
        left += child_pids(pid)


def _own_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # another system, or it has just ended
        return _resident_bytes(pid)
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(_OWN)) * 1024


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
