"""What a container may use: CPU quota, memory limit and the count of out-of-memory kills, cgroup v1 and v2.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/memory.html. Everything here is best
effort: a file that is not there means "no limit known".
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

_NO_LIMIT_BYTES = 1 << 60  # v1 writes "no limit" as a page-rounded 2^63


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _counter(text: str, name: str) -> int | None:
    """`N` of the line `name N`."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def _memory_limit(folder: Path) -> int | None:
    text = (_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")).strip()
    return int(text) if text.isdigit() and 0 < int(text) < _NO_LIMIT_BYTES else None


def _cached_bytes(stat: str) -> int:
    """Of files in a group's memory, by its `memory.stat`: v1 counts the groups below it under names of their own."""
    found = 0
    for name in ("inactive_file", "active_file"):
        whole = _counter(stat, f"total_{name}")
        found += (_counter(stat, name) if whole is None else whole) or 0
    return found


@final
@dataclass(frozen=True, kw_only=True)
class Cgroups:
    """The groups that a process is in. The paths are parameters for tests only."""

    root: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")
    vmstat: Path = Path("/proc/vmstat")
    _v1_mounts: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"cpu": ("cpu", "cpu,cpuacct", "cpuacct,cpu"), "memory": ("memory",)}, repr=False
    )

    def cpu_quota_cores(self) -> float | None:
        """Cores that the tightest quota grants, such as 1.5; None without a quota."""
        quotas = []
        for folder in self._folders("cpu"):
            limit, _, period = _read(folder / "cpu.max").strip().partition(" ")
            if not limit:
                limit, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
            if limit.isdigit() and period.isdigit() and int(limit) > 0 and int(period) > 0:
                quotas.append(int(limit) / int(period))
        return min(quotas, default=None)

    def memory_limit_bytes(self) -> int | None:
        """The tightest memory limit; None without one."""
        limits = (_memory_limit(folder) for folder in self._folders("memory"))
        return min((limit for limit in limits if limit is not None), default=None)

    def memory_free_bytes(self) -> int | None:
        """What the memory limits leave, files that are only cached counted as free; None without a limit."""
        left = []
        for folder in self._folders("memory"):
            limit = _memory_limit(folder)
            used = (_read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")).strip()
            if limit is not None and used.isdigit():
                left.append(max(limit - int(used) + _cached_bytes(_read(folder / "memory.stat")), 0))
        return min(left, default=None)

    def oom_kills(self) -> int:
        """How often the kernel killed for memory here: of the own group, or of the machine where no group tells."""
        for folder in self._folders("memory"):
            for name in ("memory.events", "memory.oom_control"):
                count = _counter(_read(folder / name), "oom_kill")
                if count is not None:
                    return count
        return _counter(_read(self.vmstat), "oom_kill") or 0

    def _folders(self, controller: str) -> Iterator[Path]:
        """The process's own folder for `controller` and the folders above it, v2 first.

        Inside a container the path of `/proc/self/cgroup` is often the host's and does not exist below the mount: the
        missing folders read as nothing, and the mount itself is the container's group.
        """
        for line in _read(self.membership).splitlines():
            number, names, path = [*line.split(":", 2), "", ""][:3]
            if number == "0" and not names:
                mounts = [self.root, self.root / "unified"]
            elif controller in names.split(","):
                mounts = [self.root / name for name in self._v1_mounts[controller]]
            else:
                continue
            relative = Path(path.lstrip("/"))
            if ".." in relative.parts:
                relative = Path()
            for mount in mounts:
                yield mount / relative
                for parent in relative.parents if relative.parts else ():
                    yield mount / parent
