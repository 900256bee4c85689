"""What the machine offers: cores, memory, accelerators, and the slots that attempts run on.

Imports no heavy library.
"""

from autoopt.devices.accelerators import Accelerator, Missing
from autoopt.devices.cgroups import Cgroups
from autoopt.devices.doctor import describe, describe_libraries
from autoopt.devices.host import Machine, machine
from autoopt.devices.libraries import LIBRARIES, Library
from autoopt.devices.memory import peak_memory_bytes
from autoopt.devices.slicing import slots

__all__ = [
    "LIBRARIES",
    "Accelerator",
    "Cgroups",
    "Library",
    "Machine",
    "Missing",
    "describe",
    "describe_libraries",
    "machine",
    "peak_memory_bytes",
    "slots",
]
