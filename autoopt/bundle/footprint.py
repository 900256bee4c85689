"""What loading an artifact takes, seen in a process of its own: `python -m autoopt.bundle.footprint FOLDER ROLE ROWS`.

Prints one JSON object: seconds from the folder to the first scores, and the memory that this added to the process.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autoopt.bundle.load import load_bundle
from autoopt.bundle.sample_rows import feeds_of_sample
from autoopt.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Of one load, in a fresh process."""

    load_s: float  # files read, compared with their hashes, the graph made ready, a first row scored
    memory_bytes: int  # most that was in use over all that and one call of many rows, less what imports took

    @classmethod
    def taken(cls, folder: Path, role: str, *, rows: int, task: str | None = None) -> Self:
        """Load that artifact in a process of its own. Raises BundleError where it does not get to the end."""
        words = [sys.executable, "-m", "autoopt.bundle.footprint", str(folder), role, str(rows), task or ""]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            return cls(**json.loads(done.stdout.strip().splitlines()[-1]))
        except (IndexError, ValueError, TypeError) as error:
            told = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise BundleError(f"{folder} could not be loaded in a process of its own: {told}") from error


def peak_bytes() -> int:
    """Most memory that this program had in use so far. Linux's own counter begins anew with a program, `rusage` not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main(folder: str, role: str, rows: str, task: str) -> None:
    """Load, score one row, then many."""
    before, began = peak_bytes(), time.perf_counter()
    bundle = load_bundle(folder, task=task or None)
    session = bundle.predictor(role).session
    session.run(feeds_of_sample(bundle, rows=1, most=1)[0])
    load_s = time.perf_counter() - began
    session.run(feeds_of_sample(bundle, rows=int(rows), most=1)[0])
    sys.stdout.write(json.dumps({"load_s": load_s, "memory_bytes": peak_bytes() - before}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
