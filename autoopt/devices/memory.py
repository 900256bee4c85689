"""How much memory this process has had in use."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_PEAK = "VmHWM:"


def peak_memory_bytes() -> int:
    """Largest resident set of this program so far.

    Linux's own counter begins anew with a program; that of `getrusage` goes on from the process that became it, and
    stands in where there is no such counter. It counts kilobytes on Linux and bytes on macOS.
    """
    try:
        _, found, rest = _STATUS.read_text(encoding="ascii", errors="replace").partition(_PEAK)
    except OSError:
        found, rest = "", ""
    if found:
        return 1024 * int(rest.split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
