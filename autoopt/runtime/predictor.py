"""Columns in, predictions out: a session behind its front."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError
from autoopt.runtime.front import Columns, Feed, Front
from autoopt.runtime.serve import served
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner, as_scores, read_model

BATCH_ROWS: Final = 8192
TEXT_ROWS: Final = 256
ARRAY_BYTES: Final = 1 << 20
WEIGHTS_ENDING: Final = ".safetensors"
"""Of an artifact that is a module's weights: only torch, and the user's own code, can run it."""
WEIGHTS_FILE: Final = f"model{WEIGHTS_ENDING}"
"""Stands in place of a graph where a module cannot be traced."""


def rows_at_once(*, texts: bool, row_bytes: int) -> int:
    """Rows of one call, so that what a network holds between its layers fits in memory: about 100 times its input.

    `row_bytes`: of the images and tensors of one row; 0 where columns are all there is.
    """
    most = TEXT_ROWS if texts else BATCH_ROWS
    return most if row_bytes == 0 else max(1, min(most, ARRAY_BYTES // row_bytes))


@final
class Predictor:
    """Predicts from raw columns: a dict of sequences, or a DataFrame."""

    def __init__(self, session: Runner, front: Front, *, batch_rows: int | None = None) -> None:
        self.session = session
        self.front = front
        texts = any(i.type == "text" for i in front.inputs)
        fitting = rows_at_once(texts=texts, row_bytes=sum(i.row_bytes for i in front.inputs))
        self._batch_rows = batch_rows or fitting

    @classmethod
    def load(cls, folder: Path, *, graph: str | None = None, threads: int | None = None) -> "Predictor":
        """From a bundle's folder; `graph` names a file in it, else the manifest's chosen one, run as that says.

        `threads`: on so many. Raises BundleError.
        """
        front = Front.read(folder / "front.json")
        name, sha256, serving = (graph, None, Serving()) if graph else chosen_graph(folder)
        if name.endswith(WEIGHTS_ENDING):
            message = f"{folder} has weights and no graph, as torch cannot trace its module"
            raise BundleError(f"{message}: autoopt predict runs it, with the module's file as --task.")
        content = read_model(folder / name)
        # The bytes that were compared are the bytes that are loaded
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise BundleError(f"{folder / name} is not the graph that was exported: its hash differs. Export again.")
        wanted = serving if threads is None else replace(serving, threads=threads)
        return cls(served(content, wanted).runner, front)

    def scores(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, classes), or values (rows, 1). Raises DataError for columns that do not fit."""
        return self.scores_of_feed(self.front.feed(columns))

    def scores_of_feed(self, feed: Feed) -> NDArray[np.float64]:
        """The same from arrays by graph input, a batch at a time."""
        rows = len(next(iter(feed.values())))
        parts = [
            as_scores(
                self.session.run({name: array[at : at + self._batch_rows] for name, array in feed.items()}),
                self.front.form,
            )
            for at in range(0, rows, self._batch_rows)
        ]
        columns = max(1, len(self.front.classes))
        if not parts:
            return np.zeros((0, columns))
        try:
            scores = np.concatenate(parts).astype(np.float64)
        except (TypeError, ValueError) as error:  # texts, maps
            raise BundleError("The graph gives something else than scores. Export again.") from error
        if scores.shape != (rows, columns):
            due = f"({rows}, {columns}) is due by front.json"
            raise BundleError(f"The graph gives scores of the shape {scores.shape}; {due}. Export again.")
        return scores

    def predict(self, columns: Columns) -> NDArray[Any]:
        """Labels (rows,) for classes, values (rows,) for regression."""
        return self.front.labels(self.scores(columns))


def chosen_graph(folder: Path) -> tuple[str, str | None, Serving]:
    """File name and SHA-256 of the graph that a bundle's manifest chose, and how to run it.

    Without a manifest model.onnx and None, run plainly.
    Raises BundleError for a manifest that is damaged or names a file elsewhere.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return "model.onnx", None, Serving()
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        artifacts = {str(a["role"]): a for a in manifest["artifacts"]}
        artifact = artifacts[str(manifest["chosen"])]
        chosen, sha256, serving = str(artifact["path"]), str(artifact["sha256"]), artifact.get("serving", {})
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error!r}. Export again.") from error
    if Path(chosen).name != chosen:
        raise BundleError(f"{path} names a graph outside its folder: {chosen!r}. Export again.")
    return chosen, sha256, Serving.parse(serving, where=str(path))
