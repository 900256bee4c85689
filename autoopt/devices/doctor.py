"""The rows of `autoopt doctor`."""

import platform

from autoopt.devices.accelerators import Accelerator
from autoopt.devices.host import Machine
from autoopt.devices.libraries import LIBRARIES, Library
from autoopt.values import format_bytes


def describe(machine: Machine) -> list[tuple[str, str]]:
    """(what, how it stands) of the machine, its accelerators, what is missing, and every library."""
    features = f" ({', '.join(sorted(machine.cpu_features))})" if machine.cpu_features else ""
    rows = [
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("cpu", f"{machine.cores} usable core(s), {machine.cpu_model}{features}"),
        ("memory", format_bytes(machine.memory_bytes)),
        ("disk free", format_bytes(machine.disk_free_bytes)),
    ]
    rows += [(f"{a.kind}:{a.index}", _accelerator(a)) for a in machine.accelerators]
    if not machine.accelerators:
        rows.append(("accelerator", "none: trials run on the CPU"))
    rows += [("missing", f"{m.what}; install: {m.install}") for m in machine.missing]
    return rows + [(library.distribution, _library(library)) for library in LIBRARIES]


def _accelerator(device: Accelerator) -> str:
    memory = f", {format_bytes(device.memory_bytes)}" if device.memory_bytes else ""
    return f"{device.name}{memory} ({', '.join(sorted(device.features))})"


def _library(library: Library) -> str:
    version = library.version
    if version is not None:
        return version
    state = f"not installed (optional: {library.purpose})" if library.optional else "MISSING"
    return f"{state}; install: {library.install}"
