"""Studies as stored: list, show, remove, upgrade the database."""

import contextlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoopt.app.options import Places
from autoopt.errors import LedgerNotOpened, LedgerUnavailable, StudyError
from autoopt.files import Home, Store
from autoopt.ledger import Ledger, StudyRow, upgrade
from autoopt.orchestrator.selection import best
from autoopt.planners import forget_study
from autoopt.values import QUALITY


def open_ledger(places: Places, *, create: bool = False) -> Ledger:
    """The study database of these places.

    Raises StudyError when there is none and `create` is off, OptionError, SchemaMismatch, LedgerNotOpened.
    """
    try:
        return Ledger.open(places.database_url, create=create)
    except LedgerUnavailable as error:
        raise LedgerNotOpened(str(error)) from error


def study_names(places: Places) -> frozenset[str]:
    """Names that are taken; none where no database is there yet."""
    with contextlib.suppress(StudyError), open_ledger(places) as ledger:
        return frozenset(s.name for s in ledger.studies())
    return frozenset()


def remove_study(name: str, places: Places) -> int:
    """Delete a study with everything only it used; returns the bytes freed. Its MLflow runs stay."""
    home = Home.locate(places.home)
    with open_ledger(places) as ledger:
        study = ledger.study(name)
        ledger.delete_study(name)
        forget_study(ledger.url, name)
        return _remove_files(home, study, ledger)


def _remove_files(home: Home, study: StudyRow, ledger: Ledger) -> int:
    store = Store(home.store)
    fingerprints = {s.spec["facts"]["fingerprint"] for s in ledger.studies()}
    mine = study.spec["facts"]["fingerprint"]
    freed = _remove_folder(home.bundle(study.name)) + _remove_folder(home.logs(study.name))
    if mine not in fingerprints:
        freed += _remove_folder(home.snapshot(mine))
    keep = ledger.referenced_artifacts()
    if not fingerprints:
        freed += store.collect(cap_bytes=0, keep=frozenset(), idle_s=0)
    else:
        for stage, key, size, _ in list(store.entries()):
            if stage == "deploy" and (stage, key) not in keep:
                store.remove(stage, key)
                freed += size
    return freed


def _remove_folder(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    shutil.rmtree(folder)
    return size


def upgrade_database(places: Places) -> str:
    """Bring the database to this version's schema; returns its URL."""
    url = places.database_url
    upgrade(url)
    return url


@dataclass(frozen=True, kw_only=True)
class StudyListing:
    """A line of `autoopt studies`."""

    name: str
    data: str
    state: str
    owner: int | None
    trials: int
    metric: str
    best: float | None
    spent_s: float
    created_at: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_studies(places: Places) -> list[StudyListing]:
    """Every study, oldest first; none where no database is there yet."""
    if not places.storage and not (Home.locate(places.home).root / "autoopt.db").exists():
        return []
    with open_ledger(places) as ledger:
        return [_listing(ledger, study) for study in ledger.studies()]


def _listing(ledger: Ledger, study: StudyRow) -> StudyListing:
    facts = study.spec["facts"]
    top = best(ledger.trials(study.name), facts["metric_direction"])
    return StudyListing(
        name=study.name,
        data=facts["name"],
        state=study.state.value,
        owner=study.owner,
        trials=ledger.totals(study.name).counted,
        metric=facts["metric"],
        best=top.measures[QUALITY].value if top else None,
        spent_s=study.spent_s,
        created_at=study.created_at,
    )
