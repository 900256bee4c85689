"""Loads one artifact and scores rows with it: `python -P -m autoopt.bundle.load_once FOLDER ROLE ROWS TASK`.

Prints one JSON object: seconds from the folder to the first scores, and the memory that this added to the process. For
`footprint` alone, which the package imports: a module that is run must not have been imported before.
"""

import json
import sys
import time

from autoopt.bundle.load import load_bundle
from autoopt.bundle.sample_rows import feeds_of_sample
from autoopt.devices import peak_memory_bytes


def main(folder: str, role: str, rows: str, task: str) -> None:
    """Load, score one row, then many."""
    before, began = peak_memory_bytes(), time.perf_counter()
    bundle = load_bundle(folder, task=task or None)
    session = bundle.predictor(role).session
    session.run(feeds_of_sample(bundle, rows=1, most=1)[0])
    load_s = time.perf_counter() - began
    session.run(feeds_of_sample(bundle, rows=int(rows), most=1)[0])
    sys.stdout.write(json.dumps({"load_s": load_s, "memory_bytes": peak_memory_bytes() - before}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
