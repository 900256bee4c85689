"""The rows of `autoopt doctor`."""

import platform
from collections.abc import Sequence

from autoopt.devices.accelerators import Accelerator
from autoopt.devices.host import Machine
from autoopt.devices.libraries import LIBRARIES, Library
from autoopt.values import format_bytes


def describe(machine: Machine) -> list[tuple[str, str]]:
    """(what, how it stands) of the machine, its accelerators, and what they would offer with another package."""
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
    return rows + [("missing", f"{m.what}: {m.install}") for m in machine.missing]


def describe_libraries(libraries: Sequence[Library] = LIBRARIES) -> list[tuple[str, str]]:
    """(what, how it stands) of the libraries: the versions that are there, then a line for each that is not."""
    there = ", ".join(f"{x.distribution} {x.version}" for x in libraries if x.version is not None)
    absent = [x for x in libraries if x.version is None]
    rows = [("libraries", there or "none")]
    rows += [("missing", f"{x.distribution}, which autoopt needs: {x.install}") for x in absent if not x.optional]
    rows += [("optional", f"{x.distribution} for {x.purpose}: {x.install}") for x in absent if x.optional]
    return rows if absent else [*rows, ("missing", "nothing")]


def _accelerator(device: Accelerator) -> str:
    memory = f", {format_bytes(device.memory_bytes)}" if device.memory_bytes else ""
    return f"{device.name}{memory} ({', '.join(sorted(device.features))})"
