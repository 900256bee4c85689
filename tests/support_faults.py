"""A checker of what must hold of a study, whatever was done to the processes that ran it.

It is independent: it reads both databases by sqlite3, the store by hashing files, and Optuna's side by
optuna.load_study. It uses nothing of autoopt.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COUNTED = ("complete", "pruned", "infeasible", "failed")
WITH_RESULT = (*COUNTED, "stopped", "duplicate")
STUDY = "s"


# ---- what a study looks like ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial as the database has it; `found` are the search's measures, the final ones left out."""

    number: int
    recipe: str
    source: str
    state: str
    duplicate_of: int | None
    artifact_key: str
    artifact_sha256: str
    finished_at: str | None
    found: Mapping[str, float]
    quality: float | None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A study at a moment."""

    study: Mapping[str, Any]
    spec: Mapping[str, Any]
    trials: tuple[Trial, ...]
    attempts: tuple[Mapping[str, Any], ...]
    undelivered: int
    exports: tuple[Mapping[str, Any], ...]

    @property
    def counted(self) -> int:
        """Trials of the budget; an ensemble comes on top of it."""
        return sum(t.state in COUNTED and t.source != "ensemble" for t in self.trials)

    @property
    def best(self) -> float | None:
        """Best quality of the complete trials, turned so that more is better."""
        sign = 1.0 if self.spec["facts"]["metric_direction"] == "maximize" else -1.0
        found = [sign * t.quality for t in self.trials if t.state == "complete" and t.quality is not None]
        return max(found, default=None)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def picture(home: Path, study: str = STUDY) -> Picture | None:
    """The study as it lies in the home's database; None when it was not made yet."""
    path = home / "autoopt.db"
    if not path.exists():
        return None
    with _reading(path) as db:
        try:
            row = db.execute("SELECT * FROM ao_studies WHERE name = ?", (study,)).fetchone()
        except sqlite3.OperationalError:  # killed before there were tables
            return None
        if row is None:
            return None
        mine = (row["id"],)
        measures: dict[int, dict[str, dict[str, float]]] = {}
        for m in db.execute("SELECT * FROM ao_measures WHERE study_id = ? ORDER BY id", mine):
            measures.setdefault(m["number"], {}).setdefault(m["pass_name"], {})[m["name"]] = m["value"]
        trials = db.execute("SELECT * FROM ao_trials WHERE study_id = ? ORDER BY number", mine).fetchall()
        attempts = db.execute("SELECT * FROM ao_attempts WHERE study_id = ? ORDER BY number, attempt", mine).fetchall()
        waiting = "SELECT count(*) FROM ao_outbox WHERE study_id = ? AND delivered_at IS NULL"
        return Picture(
            study=dict(row),
            spec=json.loads(row["spec"]),
            trials=tuple(_trial(t, measures.get(t["number"], {})) for t in trials),
            attempts=tuple(dict(a) for a in attempts),
            undelivered=db.execute(waiting, mine).fetchone()[0],
            exports=tuple(dict(e) for e in db.execute("SELECT * FROM ao_exports WHERE study_id = ?", mine)),
        )


def _trial(row: sqlite3.Row, passes: Mapping[str, Mapping[str, float]]) -> Trial:
    kept = ("number", "recipe", "source", "state", "duplicate_of", "artifact_key", "artifact_sha256", "finished_at")
    every = {name: value for found in passes.values() for name, value in found.items()}
    return Trial(**{k: row[k] for k in kept}, found=dict(passes.get("search", {})), quality=every.get("quality"))


# ---- what must hold ------------------------------------------------------------------------------------------------


def violations(home: Path, before: Picture | None = None, *, settled: bool, study: str = STUDY) -> list[str]:
    """Everything that is wrong with a study, in words.

    `before` is how it looked earlier. `settled`: a session has ended by itself, so that nothing may be left half done;
    without it a process has been killed, and nobody has recovered yet.
    """
    now = picture(home, study)
    if now is None:
        return ["the study is gone"] if before is not None else []
    found = [*_of_database(home), *_of_trials(now, settled), *_of_artifacts(home, now)]
    found += _of_optuna(home, now, settled, study)
    found += _of_lock(home, now)
    if before is not None:
        found += _of_history(before, now)
    if settled:
        found += [*_of_folders(home), *_of_tracking(home, now)]
    return found


def _of_database(home: Path) -> list[str]:
    with _reading(home / "autoopt.db") as db:
        said = db.execute("PRAGMA integrity_check").fetchone()[0]
        broken = db.execute("PRAGMA foreign_key_check").fetchall()
    return ([] if said == "ok" else [f"integrity_check: {said}"]) + [f"foreign key: {tuple(b)}" for b in broken]


def _of_trials(now: Picture, settled: bool) -> list[str]:
    found: list[str] = []
    budget = now.study["budget_trials"]
    if budget is not None and now.counted > budget:
        found.append(f"{now.counted} trials counted of a budget of {budget}")
    if settled and now.study["state"] == "finished" and budget is not None and now.counted != budget:
        found.append(f"finished with {now.counted} trials of a budget of {budget}")
    for trial in now.trials:
        mine = [a for a in now.attempts if a["number"] == trial.number]
        done = sum(a["state"] == "done" for a in mine)
        if done != (trial.state in ("complete", "infeasible")):
            found.append(f"trial {trial.number} ({trial.state}) has {done} attempts that are done")
        if [a["attempt"] for a in mine] != list(range(len(mine))):
            found.append(f"trial {trial.number}: attempts {[a['attempt'] for a in mine]}")
        running = sum(a["state"] == "running" for a in mine)
        if running > (trial.state == "running") or (settled and running):
            found.append(f"trial {trial.number} ({trial.state}) has {running} attempts running")
        if settled and trial.state == "running":
            found.append(f"trial {trial.number} is running and nobody owns the study")
        if (trial.finished_at is None) != (trial.state == "running"):
            found.append(f"trial {trial.number} ({trial.state}) finished at {trial.finished_at}")
    recipes = [t.recipe for t in now.trials if t.state in COUNTED]
    if len(recipes) != len(set(recipes)):
        found.append("a recipe was counted twice")
    return found


def _of_artifacts(home: Path, now: Picture) -> list[str]:
    found: list[str] = []
    for trial in now.trials:
        if trial.state != "complete":
            continue
        folder = home / "store" / "deploy" / trial.artifact_key
        if not trial.artifact_key or not (folder / "entry.json").is_file():
            found.append(f"trial {trial.number} is complete and its artifact is not there")
            continue
        promised = json.loads((folder / "entry.json").read_text())["files"]
        actual = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in promised}
        if actual != promised or actual.get("model.onnx") != trial.artifact_sha256:
            found.append(f"trial {trial.number}: its artifact is another one than was measured")
    return found


def half_made(home: Path) -> list[Path]:
    """What a kill can leave that a later session is to remove, an hour later."""
    patterns = ("store/*/.*.tmp", "bundles/.*", "tasks/.*", "mlflow-artifacts/.reloaded/*")
    return [path for pattern in patterns for path in home.glob(pattern)]


def make_old(home: Path) -> int:
    """Let what is half made look two hours old; returns how much there is."""
    found = half_made(home)
    for path in found:
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    return len(found)


def _of_folders(home: Path) -> list[str]:
    """Store entries are whole or to be collected; nothing temporary lies elsewhere; a bundle is whole."""
    found = [
        f"{entry.relative_to(home)} is neither whole nor temporary"
        for entry in (home / "store").glob("*/*")
        if not (entry / "entry.json").is_file() and not entry.name.endswith(".tmp")
    ]
    hour_ago = time.time() - 3600
    found += [f"left behind: {p.relative_to(home)}" for p in half_made(home) if p.stat().st_mtime < hour_ago]
    found += [f"left behind: {p.relative_to(home)}" for p in home.glob(".*")]
    for bundle in (home / "bundles").glob("[!.]*"):
        if not (bundle / "manifest.json").is_file():
            found.append(f"the bundle {bundle.name} has no manifest")
            continue
        for artifact in json.loads((bundle / "manifest.json").read_text())["artifacts"]:
            content = (bundle / artifact["path"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != artifact["sha256"]:
                found.append(f"the bundle's {artifact['path']} is not what its manifest says")
    return found


def _of_history(before: Picture, now: Picture) -> list[str]:
    """Results only grow: what had a result has it still. (A verdict may change with the final measuring.)"""
    found: list[str] = []
    after = {t.number: t for t in now.trials}
    for trial in before.trials:
        later = after.get(trial.number)
        if later is None or later.recipe != trial.recipe:
            found.append(f"trial {trial.number} was lost or got another recipe")
        elif trial.state in WITH_RESULT:
            same = ("found", "finished_at", "artifact_key", "artifact_sha256", "duplicate_of")
            changed = [name for name in same if getattr(trial, name) != getattr(later, name)]
            verdicts = ("complete", "infeasible")
            if trial.state != later.state and not (trial.state in verdicts and later.state in verdicts):
                changed.append(f"state {trial.state} to {later.state}")
            if changed:
                found.append(f"trial {trial.number} had a result and it changed: {', '.join(changed)}")
    numbers = [t.number for t in before.trials]
    if [t.number for t in now.trials][: len(numbers)] != numbers:
        found.append("the order of trials changed")
    if before.best is not None and (now.best is None or now.best < before.best):
        found.append(f"the best was {before.best} and is {now.best}")
    if now.study["spent_s"] < before.study["spent_s"]:
        found.append("seconds spent went back")
    return found


def _of_optuna(home: Path, now: Picture, settled: bool, study: str) -> list[str]:
    """Optuna's tables say what ours say; before recovery they may lack the last tells, never more."""
    import optuna

    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{home / 'autoopt.db'}")
        loaded = optuna.load_study(study_name=study, storage=storage)
    except KeyError:
        return ["Optuna does not know the study"] if settled and now.trials else []
    try:
        told = {t.number: t for t in loaded.get_trials(deepcopy=False)}
    finally:
        storage.remove_session()
        storage.engine.dispose()
    found: list[str] = []
    ours = {t.number: t for t in now.trials}
    if sorted(told) != list(range(len(told))):
        found.append("Optuna's numbers have gaps")
    for number, theirs in told.items():
        state = theirs.state.name
        if state == "RUNNING":
            if settled:
                found.append(f"Optuna's trial {number} is running and nobody owns the study")
            continue
        expected, values = _told(now, ours, ours.get(number))
        if state != expected or (values is not None and list(theirs.values) != values):
            found.append(f"Optuna's trial {number} is {state} {theirs.values}, ours says {expected} {values}")
    missing = [number for number in ours if number not in told]
    return found + [f"Optuna does not know trial {n}" for n in missing]


def _told(now: Picture, ours: Mapping[int, Trial], trial: Trial | None) -> tuple[str, list[float] | None]:
    """The state and values that Optuna should show for one of our trials; one we never recorded has failed."""
    if trial is None or trial.state in ("failed", "stopped", "running"):
        return "FAIL", None
    if trial.duplicate_of is not None:
        return _told(now, ours, ours[trial.duplicate_of])
    names = now.spec["objectives"]
    if trial.state == "pruned" or any(n not in trial.found for n in names):
        return "PRUNED", None
    return "COMPLETE", [trial.found[n] for n in names]


def _of_tracking(home: Path, now: Picture) -> list[str]:
    """Every counted trial has one run with its figures. Only what the outbox still holds may be missing."""
    path = home / "mlflow.db"
    if not path.exists():
        return [] if now.undelivered or not now.counted else ["nothing is owed to MLflow, which has no database"]
    with _reading(path) as db:
        tagged = db.execute("SELECT value, run_uuid FROM tags WHERE key = 'autoopt.uid'").fetchall()
        figures = db.execute("SELECT run_uuid, value FROM latest_metrics WHERE key = 'quality'").fetchall()
    runs: dict[str, list[str]] = {}
    for uid, run in tagged:
        runs.setdefault(uid, []).append(run)
    quality = dict(figures)
    uid = f"{now.study['name']}@{now.study['created_at']}"
    found = [f"MLflow has {len(r)} runs of {u}" for u, r in runs.items() if len(r) > 1]
    if now.undelivered:
        return found
    for trial in now.trials:
        mine = runs.get(f"{uid}/{trial.number}", [])
        if len(mine) != (trial.state in COUNTED):
            found.append(f"MLflow has {len(mine)} runs of trial {trial.number} ({trial.state})")
        elif mine and trial.found and quality.get(mine[0]) != trial.found.get("quality"):
            found.append(f"MLflow has another quality of trial {trial.number}")
    return found


def _of_lock(home: Path, now: Picture) -> list[str]:
    path = home / f"autoopt.db.{now.study['id']}.lock"
    if not path.exists():
        return []
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return ["the study is still locked"]
    return []


def dump(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the study database, without what names the owner and counts its time."""
    left_out = {"epoch", "owner_pid", "owner_host", "last_write", "spent_s"}
    with _reading(home / "autoopt.db") as db:
        tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: db.execute(f'SELECT * FROM "{table}"').fetchall() for table in sorted(tables)}
    return {t: [tuple(v for k, v in dict(r).items() if k not in left_out) for r in found] for t, found in rows.items()}
