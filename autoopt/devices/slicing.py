"""Cuts a machine into slots."""

from collections import Counter
from dataclasses import replace

from autoopt.devices.host import Machine
from autoopt.errors import OptionError
from autoopt.values import Slot

_DEFAULT_CPU_SLOTS = 4  # more attempts at once leave the planner too little to learn from


def slots(machine: Machine, requested: int | None = None, *, threads_each: int = 1) -> tuple[Slot, ...]:
    """One slot for each accelerator if there are any, else shares of the CPU. Raises OptionError.

    Each slot has `cores // slots` threads, one at least. Without `requested`: every accelerator, or four CPU slots at
    most, fewer where the cores do not give each of them `threads_each`.
    """
    most = len(machine.accelerators) or machine.cores
    fitting = max(1, min(machine.cores // threads_each, _DEFAULT_CPU_SLOTS))
    count = requested if requested is not None else len(machine.accelerators) or fitting
    if not 1 <= count <= most:
        offers = f"{most} accelerator(s)" if machine.accelerators else f"{most} usable CPU core(s)"
        raise OptionError(f"--slots {count}: this machine offers {offers}.", f"Give a number from 1 to {most}.")
    threads = max(1, machine.cores // count)
    if not machine.accelerators:
        share = Slot(index=0, threads=threads, features=machine.cpu_features, peers=count)
        return tuple(replace(share, index=i) for i in range(count))
    chosen = machine.accelerators[:count]
    peers = Counter(a.kind for a in chosen)
    return tuple(
        Slot(
            index=i,
            device=a.kind,
            device_index=a.index,
            threads=threads,
            features=a.features,
            peers=peers[a.kind],
        )
        for i, a in enumerate(chosen)
    )
