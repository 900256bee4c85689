"""Keeps a worker's libraries to its slot's share of the cores."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(threads: int) -> Mapping[str, str]:
    """Environment variables that libraries read when they are loaded."""
    return dict.fromkeys(_VARIABLES, str(threads))


def cap_threads(threads: int) -> AbstractContextManager[Any]:
    """Cap libraries that are loaded already; leaving the returned context lifts the cap of OpenMP and BLAS.

    torch is never imported here: a worker that does not use it should not pay for it.
    """
    limits: AbstractContextManager[Any] = nullcontext()
    if "numpy" in sys.modules or "torch" in sys.modules:
        import threadpoolctl  # finds the pools of loaded libraries: of no use, and 20 ms, before one is loaded

        limits = threadpoolctl.threadpool_limits(limits=threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    return limits
