"""What loading an artifact takes, seen in a process of its own (`load_once`)."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autoopt.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Of one load, in a fresh process."""

    load_s: float  # files read, compared with their hashes, the graph made ready, a first row scored
    memory_bytes: int  # most that was in use over all that and one call of many rows, less what imports took

    @classmethod
    def taken(cls, folder: Path, role: str, *, rows: int, task: str | None = None) -> Self:
        """Load that artifact in a process of its own. Raises BundleError where it does not get to the end."""
        words = [sys.executable, "-P", "-m", "autoopt.bundle.load_once", str(folder), role, str(rows), task or ""]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            return cls(**json.loads(done.stdout.strip().splitlines()[-1]))
        except (IndexError, ValueError, TypeError) as error:
            told = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise BundleError(f"{folder} could not be loaded in a process of its own: {told}") from error
