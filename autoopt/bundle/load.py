"""Loads a bundle: first every file is read once and compared with its hash, then what was read is what is loaded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from autoopt.bundle.contents import FRONT, MANIFEST, SAMPLE
from autoopt.bundle.own_module import torch_runner
from autoopt.bundle.signing import VerifyKey
from autoopt.bundle.verify import damaged, verified_files
from autoopt.errors import BundleError, DataError
from autoopt.runtime import Feed, Front, Predictor, Runner, Served, Serving, served
from autoopt.runtime.front import Columns
from autoopt.runtime.predictor import WEIGHTS_ENDING
from autoopt.runtime.serving import PLAIN_RUNTIME

if TYPE_CHECKING:
    import pandas as pd


@final
class Bundle:
    """A verified bundle. `predict` takes a DataFrame (or columns by name) as raw as the training data were."""

    def __init__(
        self, folder: Path, *, threads: int | None = None, task: str | None = None, key: VerifyKey | None = None
    ) -> None:
        self.folder = folder
        self.manifest, self._files = verified_files(folder, key)
        self.front = Front.parse(self._json(FRONT), where=str(folder / FRONT))
        self._threads = threads
        self._task = task
        self._predictors: dict[str, Predictor] = {}
        self._served: dict[str, Served] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the probability columns; empty for regression."""
        return self.front.classes

    @property
    def roles(self) -> tuple[str, ...]:
        """Artifacts that are there: 'float', and 'quantized' if there is a twin."""
        return tuple(a["role"] for a in self.manifest["artifacts"])

    def sample(self) -> dict[str, Any]:
        """Raw rows with the scores that both artifacts gave when the bundle was made. Raises BundleError."""
        loaded = self._json(SAMPLE)
        if not isinstance(loaded, dict) or not isinstance(loaded.get("columns"), dict):
            raise damaged(self.folder / SAMPLE)
        return loaded

    def sample_feed(self) -> Feed:
        """The sample's raw rows as the graphs take them. Raises BundleError, and opens no file that a row may name."""
        try:
            return self.front.feed(self.sample()["columns"], opens_files=False)
        except DataError as error:
            raise damaged(self.folder / SAMPLE) from error

    def predictor(self, artifact: str = "chosen") -> Predictor:
        """The loaded graph behind its front. Raises BundleError for an artifact that is not there."""
        role = self.manifest["chosen"] if artifact == "chosen" else artifact
        if role not in self.roles:
            there = f"it holds {' and '.join(self.roles)}; give one of these, or chosen."
            reason = f" {self.manifest['twin_reason']}" if role == "quantized" else ""
            raise BundleError(f"{self.folder} has no {role} artifact: {there}{reason}")
        if role not in self._predictors:
            self._predictors[role] = Predictor(self._runner(role), self.front)
        return self._predictors[role]

    def exported_serving(self, role: str) -> Serving:
        """How that artifact was found to run fastest when it was exported. Raises BundleError."""
        return Serving.parse(self._artifact(role).get("serving", {}), where=str(self.folder / MANIFEST))

    def served(self, role: str) -> Served | None:
        """How that artifact is run here, once its predictor was asked for; None of weights that only torch runs."""
        return self._served.get(role)

    def content(self, role: str) -> bytes:
        """The file of that artifact."""
        return self._files[self._artifact(role)["path"]]

    def _artifact(self, role: str) -> dict[str, Any]:
        found: dict[str, Any] = next(a for a in self.manifest["artifacts"] if a["role"] == role)
        return found

    def _runner(self, role: str) -> Runner:
        path = self._artifact(role)["path"]
        content = self._files[path]
        if path.endswith(WEIGHTS_ENDING):
            return torch_runner(self.folder, self.manifest, content, self._task, self._threads or 1)
        wanted = self.exported_serving(role)
        if self._threads is not None:
            wanted = replace(wanted, threads=self._threads)
        first = None if wanted.runtime == PLAIN_RUNTIME else self.sample_feed()
        try:
            self._served[role] = served(content, wanted, first=first)
        except BundleError as error:
            raise BundleError(f"{self.folder / path}: {error}") from error
        return self._served[role].runner

    def scores(self, columns: Columns, *, artifact: str = "chosen") -> NDArray[np.float64]:
        """Probabilities (rows, classes), or values (rows, 1)."""
        return self.predictor(artifact).scores(columns)

    def predict(self, columns: Columns, *, artifact: str = "chosen") -> "pd.DataFrame":
        """Columns `prediction` and, for classifiers, `probability_<class>`; one row for each row given.

        Raises DataError when columns are missing or hold what they cannot.
        """
        import pandas as pd  # loading a bundle does without

        scores = self.scores(columns, artifact=artifact)
        found: dict[str, Any] = {"prediction": self.front.labels(scores)}
        found |= {name: scores[:, i] for i, name in enumerate(self.front.score_columns)}
        return pd.DataFrame(found, index=columns.index if isinstance(columns, pd.DataFrame) else None)

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self._files[name])
        except (KeyError, ValueError, RecursionError) as error:
            raise damaged(self.folder / name) from error


def load_bundle(
    folder: str | Path,
    *,
    threads: int | None = None,
    task: str | None = None,
    verify_key: str | Path | None = None,
) -> Bundle:
    """Verify and load a bundle; nothing in it is executed. Raises BundleError, and OptionError for the key.

    Each artifact is run as was fastest when it was exported, where that can be done here; with `threads`, on so many.
    `task`: of a module that torch could not trace, 'path/to/task.py:function'; that code is run. `verify_key`: a PEM
    file with the public Ed25519 key that the bundle must have been signed with.
    """
    key = None if verify_key is None else VerifyKey.read(verify_key)
    return Bundle(Path(folder), threads=threads, task=task, key=key)
