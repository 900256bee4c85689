"""A graph made ready as its manifest says, where that can be done here; else plainly, and that is told once."""

import functools
import logging
from dataclasses import dataclass
from typing import Final

from autoopt.errors import BundleError
from autoopt.runtime.engines import engine
from autoopt.runtime.front import Feed
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner, Session

LOGGER: Final = logging.getLogger("autoopt")
"""Where it is told; without a logging set up of one's own that is stderr."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A graph, ready, and how it is run. `note`: why not as was wanted; '' where it is."""

    runner: Runner
    serving: Serving
    note: str = ""


def served(content: bytes, serving: Serving, *, where: str = "the graph", first: Feed | None = None) -> Served:
    """Run by that runtime where it is installed and runs the graph, else by onnxruntime on as many threads.

    `first`: rows that another runtime must get through before it is believed: only then may a device be found missing.
    Raises BundleError for a graph that onnxruntime does not load either.
    """
    wanted = serving.here()
    plainly = Serving(threads=wanted.threads)
    chosen = engine(wanted.runtime)
    if wanted.runtime == plainly.runtime:
        session = Session(content, threads=wanted.threads, graph=wanted.graph, arena=wanted.arena, where=where)
        return Served(runner=session, serving=wanted)
    try:
        if chosen is None:
            raise BundleError(f"{where} was exported to be run by {wanted.runtime!r}, which this autoopt does not know")
        runner = chosen.load(content, wanted, where=where)
        if first is not None:
            runner.run(first)
    except BundleError as error:
        note = f"{error}. onnxruntime runs it, perhaps more slowly."
        tell_once(note)
        return Served(runner=Session(content, threads=plainly.threads, where=where), serving=plainly, note=note)
    return Served(runner=runner, serving=wanted)


@functools.cache
def tell_once(note: str) -> None:
    """Each note once in a process, however many bundles it is about."""
    LOGGER.warning(note)
