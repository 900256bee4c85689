"""How fast bundles are on this machine: their artifacts in turns, and what each takes to load."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from autoopt.bundle.footprint import Footprint
from autoopt.bundle.load import Bundle, load_bundle
from autoopt.bundle.sample_rows import feeds_of_sample
from autoopt.files import measuring_lock
from autoopt.runtime import Latency, latency
from autoopt.runtime.timing import in_turns

LOADS: Final = 3
"""Processes that load each artifact; the medians are told."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One artifact of one bundle."""

    bundle: str
    role: str
    size_bytes: int
    load_s: float
    memory_bytes: int
    runtime: str  # that runs it here


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Calls of one artifact with so many rows, on so many threads."""

    bundle: str
    role: str
    threads: int
    rows: int
    latency: Latency
    gain: float  # the first artifact's median, with as many rows and threads, over its own

    @property
    def rows_per_s(self) -> float:
        return 1000 * self.rows / self.latency.p50_ms


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All figures, in the order in which the bundles were given."""

    contenders: tuple[Contender, ...]
    speeds: tuple[Speed, ...]
    alone: bool  # nothing else of autoopt measured on this machine meanwhile

    def to_json(self) -> dict[str, Any]:
        speeds = [
            {**asdict(s), "latency": s.latency.to_json(), "rows_per_s": s.rows_per_s, "p50_ms": s.latency.p50_ms}
            for s in self.speeds
        ]
        return {"artifacts": [asdict(c) for c in self.contenders], "speeds": speeds, "alone": self.alone}


def bench_bundles(
    folders: Sequence[Path], *, rows: Sequence[int], threads: Sequence[int], seconds: float, task: str | None = None
) -> BenchReport:
    """Measure every artifact of the bundles for about `seconds`, loading not counted.

    `task`: of a module that torch could not trace. Raises BundleError for a bundle that cannot be loaded or run.
    """
    names = _names(folders)
    speeds: list[Speed] = []
    bundles: dict[str, Bundle] = {}
    share_s = seconds / (len(rows) * len(threads))
    with measuring_lock() as alone:
        for count in threads:
            bundles = {name: load_bundle(f, threads=count, task=task) for name, f in zip(names, folders, strict=True)}
            for size in rows:
                speeds += _speeds(bundles, rows=size, threads=count, seconds=share_s)
        contenders = _contenders(dict(zip(names, folders, strict=True)), bundles, rows=max(rows), task=task)
    return BenchReport(contenders=contenders, speeds=tuple(speeds), alone=alone)


def _names(folders: Sequence[Path]) -> list[str]:
    """What the bundles are called: their folders' names, or their paths where those are alike."""
    short = [folder.resolve().name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _speeds(bundles: Mapping[str, Bundle], *, rows: int, threads: int, seconds: float) -> list[Speed]:
    feeds = {name: feeds_of_sample(bundle, rows=rows) for name, bundle in bundles.items()}
    calls = {
        (name, role): in_turns(bundle.predictor(role).session.run, feeds[name])
        for name, bundle in bundles.items()
        for role in bundle.roles
    }
    keys = {f"{place}": key for place, key in enumerate(calls)}
    found = latency({place: calls[key] for place, key in keys.items()}, seconds=seconds)
    first_ms = found["0"].p50_ms
    return [
        Speed(
            bundle=bundle,
            role=role,
            threads=threads,
            rows=rows,
            latency=found[place],
            gain=first_ms / found[place].p50_ms,
        )
        for place, (bundle, role) in keys.items()
    ]


def _contenders(
    folders: Mapping[str, Path], bundles: Mapping[str, Bundle], *, rows: int, task: str | None
) -> tuple[Contender, ...]:
    """Each artifact loaded by several processes, in turns; `bundles`: the same, that ran here."""
    sizes = {
        (name, artifact["role"]): int(artifact["bytes"])
        for name, bundle in bundles.items()
        for artifact in bundle.manifest["artifacts"]
    }
    taken: dict[tuple[str, str], list[Footprint]] = {key: [] for key in sizes}
    for _ in range(LOADS):
        for name, role in sizes:
            taken[name, role].append(Footprint.taken(folders[name], role, rows=rows, task=task))
    return tuple(
        Contender(
            bundle=name,
            role=role,
            size_bytes=size,
            load_s=statistics.median(f.load_s for f in taken[name, role]),
            memory_bytes=int(statistics.median(f.memory_bytes for f in taken[name, role])),
            runtime=_runtime(bundles[name], role),
        )
        for (name, role), size in sizes.items()
    )


def _runtime(bundle: Bundle, role: str) -> str:
    here = bundle.served(role)
    return "torch" if here is None else here.serving.runtime
