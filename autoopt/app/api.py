"""The Python API: `search`, `load_study`, `load_bundle`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoopt.app.launch import run_search
from autoopt.app.options import Places, SearchOptions
from autoopt.app.study import Study
from autoopt.bundle import Bundle
from autoopt.bundle import load_bundle as _load_bundle
from autoopt.values import parse_duration_s

if TYPE_CHECKING:
    import pandas as pd


def search(
    data: "str | Path | pd.DataFrame",
    *,
    target: str | None = None,
    time: str | float | None = None,
    trials: int | None = None,
    limits: Sequence[str] = (),
    objectives: Sequence[str] | None = None,
    home: str | Path | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    **options: Any,
) -> Study:
    """Search a file, a demo name or a DataFrame; blocks until the budget ends and the bundle is written.

    `time` is wall time, '60s' or seconds (default 5m unless `trials` is given). Further options are those of
    `SearchOptions`: metric, study, space, pins, recipe, seed, slots, memory, split_column, time_column, tolerance,
    targets, output. Raises InputError before anything is started, StudyExists for a name that is taken.
    """
    chosen = SearchOptions(
        data=data,
        target=target,
        time_s=None if time is None else parse_duration_s(time, option="time"),
        trials=trials,
        limits=tuple(limits),
        objectives=tuple(objectives) if objectives is not None else None,
        places=Places(home=str(home) if home else None, storage=storage, tracking_uri=tracking_uri),
        **options,
    )
    return run_search(chosen).study


def load_study(
    name: str, *, home: str | Path | None = None, storage: str | None = None, tracking_uri: str | None = None
) -> Study:
    """A stored study by name. Raises StudyNotFound."""
    return Study(name, Places(home=str(home) if home else None, storage=storage, tracking_uri=tracking_uri))


def load_bundle(
    folder: str | Path,
    *,
    threads: int | None = None,
    task: str | None = None,
    verify_key: str | Path | None = None,
) -> Bundle:
    """A bundle, every file checked against its hash first. Raises BundleError, and OptionError for the key.

    It is run as was fastest when it was exported, where that runtime is installed; with `threads`, on so many. `task`:
    of a module that torch could not trace, 'path/to/task.py:function'; that code is run. `verify_key`: a PEM file with
    the public Ed25519 key that the bundle must have been signed with.
    """
    return _load_bundle(Path(folder), threads=threads, task=task, verify_key=verify_key)
