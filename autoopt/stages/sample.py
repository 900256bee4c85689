"""A few raw rows as JSON: what a bundle is checked with on another machine."""

import base64
import io
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.task.facts import Modality, TaskFacts
from autoopt.task.snapshot import Part
from autoopt.task.spreading import spread_rows

SAMPLE_ROWS: Final = 20
SAMPLE_BYTES: Final = 1 << 20
"""What the arrays of all sample rows may take, unless a single row takes more."""


def sample_rows(part: Part) -> NDArray[np.int64]:
    """Positions of a few rows, spread evenly over the part; of rows with arrays only those that JSON can hold."""
    usable = np.flatnonzero(np.logical_and.reduce([np.ones(part.rows, dtype=bool), *map(_finite, part.tensors)]))
    row_bytes = sum(values[:1].nbytes for values in part.tensors)
    most = min(SAMPLE_ROWS, len(usable), max(1, SAMPLE_BYTES // max(row_bytes, 1)))
    return usable[spread_rows(len(usable), most)]


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row is finite in all its values."""
    if values.dtype.kind != "f":
        return np.ones(len(values), dtype=bool)
    finite: NDArray[np.bool_] = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return finite


def raw_columns(facts: TaskFacts, rows: Part) -> dict[str, list[Any]]:
    """Rows by column as JSON: missing numbers None, missing texts '', images as PNG, tensors as nested lists."""
    numbers = {
        name: [None if math.isnan(v) else float(v) for v in rows.numbers[:, j]]
        for j, name in enumerate(facts.number_columns)
    }
    categories = {name: [str(v) for v in rows.categories[:, j]] for j, name in enumerate(facts.category_columns)}
    texts = {name: [str(v) for v in rows.texts[:, j]] for j, name in enumerate(facts.text_columns)}
    images = facts.raw_form is Modality.IMAGES
    arrays = {
        t.name: [data_uri(row) for row in values] if images else values.tolist()
        for t, values in zip(facts.tensors, rows.tensors, strict=True)
    }
    return {**numbers, **categories, **texts, **arrays}


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels (height, width, 3) as the text of a PNG file, which keeps every one of them."""
    from PIL import Image  # not before an image comes

    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
