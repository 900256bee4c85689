"""Keeps a worker's libraries to its slot's share of the cores."""

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_WAITING = "OMP_WAIT_POLICY"
"""How OpenMP's threads wait for each other. By default they spin: beside other work on the same cores, a small network
of convolutions then trained on two threads at a third to a half of the speed that it has with threads that sleep."""


def thread_environment(threads: int) -> Mapping[str, str]:
    """Environment variables that libraries read when they are loaded; a policy of waiting that is set is kept."""
    return {**dict.fromkeys(_VARIABLES, str(threads)), _WAITING: os.environ.get(_WAITING, "PASSIVE")}


def find_pools() -> Any:
    """threadpoolctl's controller of the libraries loaded so far; None when none of them can have threads."""
    if not {"numpy", "torch"} & set(sys.modules):
        return None
    import threadpoolctl  # of no use before a library is loaded

    return threadpoolctl.ThreadpoolController()


def cap_threads(threads: int, pools: Any = None) -> AbstractContextManager[Any]:
    """Cap libraries that are loaded already; leaving the returned context lifts the cap of OpenMP and BLAS.

    `pools` is what `find_pools` found before a fork: looking again takes 20 ms. torch is never imported here: a worker
    that does not use it should not pay for it.
    """
    pools = pools or find_pools()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    return nullcontext() if pools is None else cast(AbstractContextManager[Any], pools.limit(limits=threads))
