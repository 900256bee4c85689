"""A graph that never changes: how fast is this machine, now? Latencies are compared through it.

`reference.onnx` (made by scripts/make_reference_graph.py) is a network 64-256-256-10 whose weights the runtime computes
when it loads it, so that the file is small.
"""

from importlib.resources import files

import numpy as np

from autoopt.runtime.session import Session
from autoopt.runtime.timing import Call

REFERENCE_INPUTS = 64


def reference_session(*, threads: int = 1) -> Session:
    """The reference graph, loaded: 'features' float32 (rows, 64) in, 'scores' float32 (rows, 10) out."""
    return Session(files("autoopt.runtime").joinpath("reference.onnx").read_bytes(), threads=threads)


def reference_call(*, threads: int = 1) -> Call:
    """One row through the reference graph: what `latency` is to be given beside the candidates."""
    session = reference_session(threads=threads)
    feed = {"features": np.linspace(-1.0, 1.0, REFERENCE_INPUTS, dtype=np.float32)[None, :]}
    return lambda: session.run(feed)
