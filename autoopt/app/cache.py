"""What the store of stage results holds, and making it smaller."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from autoopt.app.options import Places
from autoopt.app.studies import open_ledger
from autoopt.files import Home, Store
from autoopt.values import parse_bytes

UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class CacheRow:
    """The entries of one stage."""

    stage: str  # UNFINISHED: checkpoints of trainings that a resume goes on from
    entries: int
    size_bytes: int
    kept_bytes: int  # of what trials on record were deployed as: never removed
    idle_s: float  # since any of them was last used


def cache_rows(places: Places) -> list[CacheRow]:
    """A row for each stage that has entries, the largest first. Raises StudyError where there is no database."""
    with open_ledger(places) as ledger:
        keep = ledger.referenced_artifacts()
    store, now = Store(Home.locate(places.home).store), time.time()
    stages: dict[str, list[tuple[int, int, float]]] = {}
    for stage, key, size, used in store.entries():
        stages.setdefault(stage, []).append((size, size if (stage, key) in keep else 0, now - used))
    for used, size, _ in store.working():
        stages.setdefault(UNFINISHED, []).append((size, 0, now - used))
    rows = [
        CacheRow(
            stage=stage,
            entries=len(found),
            size_bytes=sum(size for size, _, _ in found),
            kept_bytes=sum(kept for _, kept, _ in found),
            idle_s=max(0.0, min(idle for _, _, idle in found)),
        )
        for stage, found in stages.items()
    ]
    return sorted(rows, key=lambda row: -row.size_bytes)


def shrink_cache(places: Places, to: str) -> int:
    """Remove what was longest unused until the store takes no more than `to`, such as '2GB'; returns the bytes freed.

    What trials on record were deployed as stays, and what was used within the last minute. Raises OptionError for what
    is no size, StudyError where there is no database.
    """
    cap_bytes = parse_bytes(to, option="--shrink")
    with open_ledger(places) as ledger:
        keep = ledger.referenced_artifacts()
    return Store(Home.locate(places.home).store).collect(cap_bytes=cap_bytes, keep=keep)


def cache_json(rows: list[CacheRow], freed_bytes: int | None) -> dict[str, Any]:
    """What `--json` prints."""
    freed = {} if freed_bytes is None else {"freed_bytes": freed_bytes}
    return {"stages": [asdict(row) for row in rows], "size_bytes": sum(row.size_bytes for row in rows), **freed}
