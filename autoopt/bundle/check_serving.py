"""How a bundle's artifacts are run on this machine, and whether another way would be faster here."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from autoopt.bundle.load import Bundle
from autoopt.devices import Cgroups
from autoopt.devices.host import usable_cores
from autoopt.files import measuring_lock
from autoopt.runtime import Feed, Runner, Served, rows_at_once
from autoopt.runtime.engines import ENGINES
from autoopt.runtime.fastest import Fastest, Rows, fastest, fitting_rows
from autoopt.runtime.serving import PLAIN_RUNTIME

PARITY_TOLERANCE: Final = 1e-5
"""Scores in the sample are those of the same graph, so only another CPU's arithmetic may differ."""
OTHER_RUNTIME_TOLERANCE: Final = 1e-4
"""Of a runtime that orders its sums otherwise: what an export held it to."""
LEAST_S: Final = 0.2
"""With less for an artifact no other way of running it is looked at."""
BATCH_ROWS: Final = 256


def exact_tolerance(bundle: Bundle, role: str) -> float:
    """How far the scores of a lossless artifact may be from the sample's."""
    here = bundle.served(role)
    return PARITY_TOLERANCE if here is None or here.serving.runtime == PLAIN_RUNTIME else OTHER_RUNTIME_TOLERANCE


def exported_ms(bundle: Bundle, artifact: Mapping[str, Any]) -> float:
    """What one row took at the export: the way it is run here, where that was measured, else plainly."""
    here, exported = bundle.served(artifact["role"]), artifact.get("serving", {})
    if here is not None and "ms_1" in exported and here.serving == bundle.exported_serving(artifact["role"]):
        return float(exported["ms_1"])
    return float(artifact["latency"]["batch_1"]["p50_ms"])


def serving_told(bundle: Bundle, feed: Feed, seconds: float) -> dict[str, str]:
    """By role, how that artifact is run and what would be faster here, found out in about `seconds`.

    Weights that only torch can run are left out. Raises BundleError.
    """
    here = {role: bundle.served(role) for role in bundle.roles}
    there = {role: found for role, found in here.items() if found is not None}
    with measuring_lock() as alone:
        share_s = seconds / max(len(there), 1) if alone else 0.0
        return {role: _told(bundle, role, found, feed, share_s) for role, found in there.items()}


def _told(bundle: Bundle, role: str, here: Served, feed: Feed, seconds: float) -> str:
    told = here.serving.words + (f" ({here.note})" if here.note else "")
    if seconds < LEAST_S:
        return told
    found = _fastest(bundle, role, here, feed, seconds)
    measured = [t for t in found.tried if t.single_gain is not None]
    if found.serving != here.serving:
        times = f"{found.single_gain:.2f} times as fast with one row, {found.batch_gain:.2f} with {found.batch_rows}"
        return f"{told}; here {found.serving.words} is {times}: export again on this machine"
    others = "one other way is not" if len(measured) == 1 else f"none of {len(measured)} other ways is"
    return f"{told}; {others} faster here" if measured else told


def _fastest(bundle: Bundle, role: str, here: Served, feed: Feed, seconds: float) -> Fastest:
    count = len(next(iter(feed.values())))
    row_bytes = sum(values[:1].nbytes for values in feed.values())
    usual = np.arange(min(BATCH_ROWS, rows_at_once(texts=False, row_bytes=row_bytes))) % count
    batch = usual[: fitting_rows(here.runner, {name: values[usual] for name, values in feed.items()})]
    expected = here.runner.run(feed)
    scale = 1.0 if bundle.classes else float(np.abs(expected).max(initial=0.0)) or 1.0

    def accept(runner: Runner) -> str:
        difference = float(np.abs(runner.run(feed) - expected).max())
        return "" if difference <= OTHER_RUNTIME_TOLERANCE * scale else f"its scores differ by {difference:.2g}"

    return fastest(
        bundle.content(role),
        Rows(
            single=[{name: values[i : i + 1] for name, values in feed.items()} for i in range(count)],
            batch=[{name: values[batch] for name, values in feed.items()}],
        ),
        accept,
        runtimes=tuple(
            dict.fromkeys((here.serving.runtime, *(e.name for e in ENGINES if e.unasked and not e.absence)))
        ),
        cores=usable_cores(Cgroups()),
        seconds=seconds,
        start=here.serving,
    )
