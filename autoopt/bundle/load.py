"""Loads a bundle: first every file is read once and compared with its hash, then what was read is what is loaded."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from autoopt.bundle.contents import FRONT, MANIFEST, SCHEMA_VERSION
from autoopt.errors import BundleError
from autoopt.runtime import Front, Predictor, Session
from autoopt.runtime.front import Columns

if TYPE_CHECKING:
    import pandas as pd

MAX_FILE_BYTES = 4_000_000_000
MAX_MANIFEST_BYTES = 50_000_000
REQUIRED = ("schema_version", "chosen", "artifacts", "files", "metric", "kind", "classes", "twin_reason", "missed")


def _read(folder: Path, name: str, most_bytes: int) -> bytes:
    """A regular file's bytes, from one descriptor, links refused."""
    path = folder / name
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}). Export the bundle again.") from error
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            raise BundleError(f"{path} is a link or no file at all. Export the bundle again.")
        if facts.st_size > most_bytes:
            raise BundleError(f"{path} has {facts.st_size} bytes, more than a bundle's file can have.")
        return file.read()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, its fields looked at but no hash compared yet. Raises BundleError."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder. Give the folder that `autoopt search` or `export` wrote.")
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} has no {MANIFEST}, so it is no bundle. Give the folder that `search` wrote.")
    try:
        manifest = json.loads(_read(folder, MANIFEST, MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST} is damaged. Export the bundle again.") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{folder / MANIFEST} is damaged. Export the bundle again.")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version!r}; this autoopt reads {SCHEMA_VERSION}. Export again."
        )
    missing = [field for field in REQUIRED if field not in manifest]
    if missing:
        raise BundleError(f"{folder / MANIFEST} lacks {', '.join(missing)}. Export the bundle again.")
    return manifest


def _check_names(folder: Path, listed: Mapping[str, Any]) -> None:
    """Every name stays inside the folder; every file there is listed and none is a link."""
    for name in listed:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or any(p in ("..", ".") for p in parts) or "\\" in name:
            raise BundleError(f"{folder / MANIFEST} names a file outside the bundle: {name!r}. Nothing was loaded.")
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    extra = sorted(found - set(listed) - {MANIFEST})
    if extra:
        raise BundleError(f"{folder} has files that its manifest does not list: {', '.join(extra[:5])}. Remove them.")
    absent = sorted(set(listed) - found)
    if absent:
        raise BundleError(f"{folder} lacks {', '.join(absent[:5])}. Export the bundle again.")
    folders = [p for p in folder.rglob("*") if p.is_symlink()]
    if folders:
        raise BundleError(f"{folders[0]} is a link. Nothing was loaded.")


def verified_files(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and every file's bytes, each equal to its hash. Raises BundleError."""
    manifest = read_manifest(folder)
    try:
        listed = {str(name): (int(f["bytes"]), str(f["sha256"])) for name, f in manifest["files"].items()}
        artifacts = {str(a["role"]): (str(a["path"]), str(a["sha256"])) for a in manifest["artifacts"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST} is damaged. Export the bundle again.") from error
    _check_names(folder, listed)
    contents: dict[str, bytes] = {}
    for name, (size, digest) in listed.items():
        content = _read(folder, name, MAX_FILE_BYTES)
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise BundleError(f"{folder / name} is not the file that was exported: its hash differs. Export again.")
        contents[name] = content
    for role, (path, digest) in artifacts.items():
        if path not in contents or hashlib.sha256(contents[path]).hexdigest() != digest:
            raise BundleError(f"{folder / MANIFEST}: the {role} artifact is not the file it names. Export again.")
    if manifest["chosen"] not in artifacts or FRONT not in contents:
        raise BundleError(f"{folder / MANIFEST} names no chosen artifact or no {FRONT}. Export the bundle again.")
    return manifest, contents


@final
class Bundle:
    """A verified bundle. `predict` takes a DataFrame (or columns by name) as raw as the training data were."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.folder = folder
        self.manifest, self._files = verified_files(folder)
        try:
            front = json.loads(self._files[FRONT])
        except ValueError as error:
            raise BundleError(f"{folder / FRONT} is damaged. Export the bundle again.") from error
        self.front = Front.parse(front, where=str(folder / FRONT))
        self._threads = threads
        self._predictors: dict[str, Predictor] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the probability columns; empty for regression."""
        return self.front.classes

    @property
    def roles(self) -> tuple[str, ...]:
        """Artifacts that are there: 'float', and 'quantized' if there is a twin."""
        return tuple(a["role"] for a in self.manifest["artifacts"])

    def sample(self) -> dict[str, Any]:
        """Raw rows with the scores that both artifacts gave when the bundle was made."""
        loaded: dict[str, Any] = json.loads(self._files["sample.json"])
        return loaded

    def predictor(self, artifact: str = "chosen") -> Predictor:
        """The loaded graph behind its front. Raises BundleError for an artifact that is not there."""
        role = self.manifest["chosen"] if artifact == "chosen" else artifact
        if role not in self.roles:
            reason = f": {self.manifest['twin_reason']}" if role == "quantized" else ""
            raise BundleError(f"{self.folder} has no {role} artifact{reason}.")
        if role not in self._predictors:
            path = next(a["path"] for a in self.manifest["artifacts"] if a["role"] == role)
            self._predictors[role] = Predictor(Session(self._files[path], threads=self._threads), self.front)
        return self._predictors[role]

    def scores(self, columns: Columns, *, artifact: str = "chosen") -> NDArray[np.float64]:
        """Probabilities (rows, classes), or values (rows, 1)."""
        return self.predictor(artifact).scores(columns)

    def predict(self, columns: Columns, *, artifact: str = "chosen") -> "pd.DataFrame":
        """Columns `prediction` and, for classifiers, `probability_<class>`; one row for each row given.

        Raises DataError when columns are missing or hold what they cannot.
        """
        import pandas as pd

        scores = self.scores(columns, artifact=artifact)
        found: dict[str, Any] = {"prediction": self.front.labels(scores)}
        found |= {f"probability_{label}": scores[:, i] for i, label in enumerate(self.classes)}
        return pd.DataFrame(found, index=columns.index if isinstance(columns, pd.DataFrame) else None)


def load_bundle(folder: str | Path, *, threads: int = 1) -> Bundle:
    """Verify and load a bundle; nothing in it is executed. Raises BundleError."""
    return Bundle(Path(folder), threads=threads)
