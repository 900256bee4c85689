"""What this machine offers, as far as this process may use it."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from autoopt.devices.accelerators import Accelerator, Missing, find_accelerators
from autoopt.devices.cgroups import Cgroups

_CPU_FEATURES = {
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},  # the last is Arm's name
    "vnni": {"avx512_vnni", "avx_vnni"},
    "amx": {"amx_tile"},
    "avx512": {"avx512f"},
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores, bytes and devices that this process may use."""

    cores: int
    memory_bytes: int
    disk_free_bytes: int
    cpu_model: str
    cpu_features: frozenset[str] = frozenset()
    accelerators: tuple[Accelerator, ...] = ()
    missing: tuple[Missing, ...] = ()


def machine(folder: Path | None = None) -> Machine:
    """Look once. `folder` is where disk space is asked for: the home folder, by default the current one."""
    groups = Cgroups()
    accelerators, missing = find_accelerators()
    model, flags = read_cpuinfo()
    total_bytes = psutil.virtual_memory().total
    return Machine(
        cores=usable_cores(groups),
        memory_bytes=min(total_bytes, groups.memory_limit_bytes() or total_bytes),
        disk_free_bytes=shutil.disk_usage(_existing(folder or Path.cwd())).free,
        cpu_model=model,
        cpu_features=cpu_features(flags),
        accelerators=accelerators,
        missing=missing,
    )


def usable_cores(groups: Cgroups) -> int:
    """The least of the cores there are, those this process may run on, and the container's quota; 1 at least."""
    counts = [os.cpu_count() or 1]
    if sys.platform == "linux":
        counts.append(len(os.sched_getaffinity(0)))
    quota = groups.cpu_quota_cores()
    if quota is not None:
        counts.append(int(quota))
    return max(1, min(counts))


def cpu_features(flags: Iterable[str]) -> frozenset[str]:
    """'bf16', 'vnni', 'amx', 'avx512' out of the processor's own flags."""
    have = set(flags)
    return frozenset(name for name, any_of in _CPU_FEATURES.items() if have & any_of)


def read_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> tuple[str, frozenset[str]]:
    """The processor's name and its flags; what `platform` knows where there is no /proc/cpuinfo."""
    try:
        text = path.read_text()
    except OSError:
        text = ""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features") or ""
    return facts.get("model name") or platform.processor() or platform.machine(), frozenset(flags.split())


def _existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())
