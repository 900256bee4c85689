"""Small tables for tests of the task floor, and writers of the files that hold them."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from autoopt.task import Kind, Modality, TaskFacts, TaskOptions


def plain_frame(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """A sound table: two numbers, a category, a truth value, two classes 'no' and 'yes'."""
    generator = np.random.default_rng(seed)
    height = generator.normal(170, 10, rows).round(2)
    colour = generator.choice(["red", "green", "blue"], rows)
    label = np.where(height + 8 * (colour == "red") + generator.normal(0, 6, rows) > 172, "yes", "no")
    return pd.DataFrame(
        {
            "height": height,
            "visits": generator.integers(0, 60, rows),
            "colour": colour,
            "member": generator.random(rows) < 0.5,
            "label": label,
        }
    )


def csv_text(columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> str:
    """Columns as delimited text, values as `str` writes them, nothing quoted."""
    lines = [delimiter.join(columns)]
    lines += [delimiter.join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def frame_text(frame: pd.DataFrame) -> str:
    """A frame as CSV text."""
    return frame.to_csv(index=False)


def write(path: Path, content: str | bytes) -> Path:
    """A file of that content; packed where the name ends in .gz."""
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_hdf5(path: Path, columns: Mapping[str, Any]) -> Path:
    """A group of 1-D datasets, in the order given."""
    with h5py.File(path, "w", track_order=True) as file:
        for name, values in columns.items():
            array = np.asarray(values)
            text = array.dtype.kind in "OU"
            file.create_dataset(name, data=list(array) if text else array, dtype=h5py.string_dtype() if text else None)
    return path


def options(target: str | None = "label", **more: Any) -> TaskOptions:
    """Options with the target of `plain_frame`."""
    return TaskOptions(target=target, **more)


def facts_of(kind: Kind, classes: int = 0, metric: str = "rmse") -> TaskFacts:
    """Facts with nothing in them but what metrics ask for."""
    return TaskFacts(
        name="made up",
        modality=Modality.TABULAR,
        kind=kind,
        metric=metric,
        metric_direction="maximize",
        target="y",
        classes=tuple(str(k) for k in range(classes)),
        numeric_classes=True,
        columns=(),
        rows={},
        fingerprint="0" * 64,
    )
