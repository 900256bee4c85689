"""Entry points whose loader workers do as they are told, for the tests of faults."""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from autoopt.executors import Reporter
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.loader_source import LoaderSource, loading
from autoopt.strategies.learning.rows import Arrays, Rows
from autoopt.values import Slot

ROWS = 64


@final
class Scripted(Rows):
    """Rows that say who read them; the worker that reads row 40 does what `then` says."""

    def __init__(self, then: str) -> None:
        self._then = then

    @property
    def rows(self) -> int:
        return ROWS

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        if 40 in indices:
            if self._then == "hang":
                threading.Event().wait()
            if self._then == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._then == "leave":
                os._exit(0)
            if self._then == "raise":
                raise OSError("row 40 cannot be read")
        return (np.full(len(indices), os.getpid()),)


def read_rows(payload: Mapping[str, Any], slot: Slot, report: Reporter) -> dict[str, Any]:
    """One epoch by loader workers; tells their pids in a file as soon as all have read something."""
    workers, seen = payload["workers"], set[int]()
    source = LoaderSource(
        Scripted(payload["then"]),
        torch.arange(ROWS),
        torch.device("cpu"),
        classifies=True,
        loader=Loader(workers=workers, hang_s=payload.get("hang_s", 60)),
    )
    with loading(source):
        for batch in source.batches(iter(torch.arange(ROWS).split(4))):
            seen |= {int(pid) for pid in batch.inputs[0]}
            if len(seen) == workers:
                Path(payload["file"]).write_text(" ".join(map(str, seen)))
                report("read", values={"workers": len(seen)})
            if payload["then"] == "wait" and len(seen) == workers:
                threading.Event().wait()
    return {"workers": len(seen)}
