"""Finds accelerators without importing torch: the drivers are asked, and torch's build is read from its files."""

import csv
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoopt.values import DeviceKind

_QUERY_TIMEOUT_S = 5.0
_FIELDS = "index,uuid,name,memory.total,compute_cap"
_TORCH_CUDA = "the CUDA build of torch, by https://pytorch.org/get-started/locally"


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A device that torch can use. `index` is torch's number for it."""

    kind: DeviceKind
    index: int
    name: str
    memory_bytes: int | None = None
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Something that the machine would offer if a package were there."""

    what: str
    install: str


def torch_build(version_file: Path | None = None) -> Mapping[str, str]:
    """{'cuda': '12.8'} and the like, as torch/version.py states it; empty for a CPU build or without torch."""
    if version_file is None:
        spec = importlib.util.find_spec("torch")
        if spec is None or spec.origin is None:
            return {}
        version_file = Path(spec.origin).with_name("version.py")
    try:
        text = version_file.read_text()
    except OSError:
        return {}
    pattern = r"^(cuda|hip|xpu)\s*(?::[^=]*)?=\s*['\"]([^'\"]+)['\"]"
    return {name: value for name, value in re.findall(pattern, text, flags=re.MULTILINE)}


def find_accelerators() -> tuple[tuple[Accelerator, ...], tuple[Missing, ...]]:
    """Accelerators that torch can use, and those that it could use if it were built for them."""
    build = torch_build()
    found = [*_cuda(), *_mps(), *_xpu(build)]
    usable = tuple(a for a in found if a.kind == "mps" or a.kind in build)
    idle = [a for a in found if a not in usable]
    missing = tuple(Missing(what=f"{a.name}: the installed torch has no CUDA", install=_TORCH_CUDA) for a in idle)
    return usable, missing


def _cuda() -> list[Accelerator]:
    return visible(parse_nvidia_smi(_nvidia_smi()) or _from_proc(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def parse_nvidia_smi(text: str) -> list[tuple[str, Accelerator]]:
    """(uuid, accelerator) for each row of `nvidia-smi --query-gpu`; rows that cannot be read are left out."""
    devices = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) != 5 or not row[0].strip().isdigit():
            continue
        index, uuid, name, memory_mib, capability = (cell.strip() for cell in row)
        memory = int(memory_mib) << 20 if memory_mib.isdigit() else None
        devices.append((uuid, _cuda_device(int(index), name, memory, capability)))
    return devices


def _cuda_device(index: int, name: str, memory_bytes: int | None, capability: str = "") -> Accelerator:
    major = capability.split(".")[0]
    has_bf16 = not major.isdigit() or int(major) >= 8  # unknown: every card sold since 2020 has it
    features = frozenset({"fp16", "bf16"} if has_bf16 else {"fp16"})
    return Accelerator(kind="cuda", index=index, name=name, memory_bytes=memory_bytes, features=features)


def _from_proc(root: Path = Path("/proc/driver/nvidia/gpus")) -> list[tuple[str, Accelerator]]:
    """The driver's own list, for containers that have no nvidia-smi."""
    devices = []
    for index, path in enumerate(sorted(root.glob("*/information"))):
        try:
            text = path.read_text()
        except OSError:
            continue
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
        devices.append((facts.get("GPU UUID", ""), _cuda_device(index, facts.get("Model", "NVIDIA GPU"), None)))
    return devices


def visible(devices: Sequence[tuple[str, Accelerator]], mask: str | None) -> list[Accelerator]:
    """What CUDA_VISIBLE_DEVICES leaves, renumbered as torch numbers it: the first bad entry ends the list."""
    if mask is None:
        return [device for _, device in devices]
    by_index = {str(device.index): device for _, device in devices}
    left: list[Accelerator] = []
    for entry in (part.strip() for part in mask.split(",")):
        by_uuid = [device for uuid, device in devices if entry and uuid.startswith(entry)]
        device = by_index.get(entry) or (by_uuid[0] if len(by_uuid) == 1 else None)
        if device is None:
            break
        left.append(
            Accelerator(
                kind="cuda",
                index=len(left),
                name=device.name,
                memory_bytes=device.memory_bytes,
                features=device.features,
            )
        )
    return left


def _mps() -> list[Accelerator]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    return [Accelerator(kind="mps", index=0, name="Apple GPU", features=frozenset({"fp16"}))]


def _xpu(build: Mapping[str, str]) -> list[Accelerator]:
    """Intel GPUs. An integrated one is not told from a card here, so they count only where torch is built for them."""
    if "xpu" not in build:
        return []
    vendors = sorted(Path("/sys/class/drm").glob("renderD*/device/vendor"))
    intel = [path for path in vendors if path.read_text().strip() == "0x8086"]
    features = frozenset({"fp16", "bf16"})
    return [Accelerator(kind="xpu", index=i, name="Intel GPU", features=features) for i, _ in enumerate(intel)]
