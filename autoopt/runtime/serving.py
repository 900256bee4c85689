"""How a graph is run: by which runtime, on how many threads, with which of its options."""

import os
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Self, final

from autoopt.errors import BundleError

PLAIN_RUNTIME: Final = "onnxruntime"
GRAPH_LEVELS: Final = ("none", "basic", "extended", "all")
"""What onnxruntime does to a graph when it loads it: nothing; constants folded and dead nodes taken out; nodes fused as
well; the layout of convolutions changed as well."""
MOST_THREADS: Final = 1024


@final
@dataclass(frozen=True, kw_only=True)
class Serving:
    """A choice for each of them; without any, what trials are measured with: onnxruntime on one thread."""

    runtime: str = PLAIN_RUNTIME
    threads: int = 1
    graph: str = GRAPH_LEVELS[-1]
    arena: bool = True  # memory of one call is kept for the next

    @property
    def plain(self) -> bool:
        """Whether this is what trials are measured with."""
        return self == Serving()

    @property
    def words(self) -> str:
        """For people: `onnxruntime, 2 threads`."""
        return ", ".join(
            [
                self.runtime,
                "one thread" if self.threads == 1 else f"{self.threads} threads",
                *([f"graph level {self.graph}"] if self.graph != GRAPH_LEVELS[-1] else []),
                *([] if self.arena else ["no arena"]),
            ]
        )

    def here(self) -> Self:
        """The same with no more threads than the cores that this process may run on."""
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return replace(self, threads=min(self.threads, cores))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, raw: Any, *, where: str = "the manifest") -> Self:
        """What `to_json` gave, or a manifest's entry with more in it; nothing, as older bundles have, is the plain one.

        A runtime that is not known here may be another version's. Raises BundleError.
        """
        if not isinstance(raw, Mapping):
            raise BundleError(f"{where} does not say how its graph is run: {reprlib.repr(raw)}. Export again.")
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        wrong = [name for name, value in known.items() if not _fits(name, value)]
        if wrong:
            told = ", ".join(f"{name} {reprlib.repr(known[name])}" for name in wrong)
            raise BundleError(f"{where} says that a graph is run with {told}, which cannot be. Export again.")
        return cls(**known)


def _fits(name: str, value: object) -> bool:
    if name == "threads":
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_THREADS
    if name == "graph":
        return value in GRAPH_LEVELS
    return isinstance(value, bool if name == "arena" else str)
