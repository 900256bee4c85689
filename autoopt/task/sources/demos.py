"""scikit-learn's built-in sets, by name: nothing is downloaded."""

import numpy as np
import pyarrow as pa

from autoopt.errors import DataError
from autoopt.task.modality import IMAGE_DEMO
from autoopt.task.table import Table, from_arrow
from autoopt.task.wording import nearest

PREFIX = "demo:"
DEMOS = ("digits", "iris", "wine", "breast_cancer", "diabetes")
TARGET = "target"


def read_demo(source: str) -> Table:
    """`demo:iris` as a table; the target column is `target`, with class names as labels. Raises DataError."""
    name = source.removeprefix(PREFIX)
    if name not in DEMOS:
        close = nearest(name, (*DEMOS, IMAGE_DEMO.removeprefix(PREFIX)))
        hint = f"Did you mean {PREFIX}{close[0]}? " if close else ""
        raise DataError(
            f"{source!r} is not a demo.", f"{hint}Demos: {', '.join(PREFIX + d for d in DEMOS)}, {IMAGE_DEMO}."
        )
    from sklearn import datasets  # slow to import, and only demos need it

    loaded = getattr(datasets, f"load_{name}")()
    labels = getattr(loaded, "target_names", None) if name != "diabetes" else None
    values = np.asarray(loaded.data, dtype=np.float64)
    names = [str(n).replace(" (cm)", "_cm").replace(" ", "_") for n in loaded.feature_names]
    columns = {n: _numbers(values[:, k]) for k, n in enumerate(names)}
    target = loaded.target if labels is None else np.asarray(labels)[loaded.target]
    columns[TARGET] = pa.array(target.tolist())
    return from_arrow(source, pa.table(columns), default_target=TARGET, labelled=labels is not None)


def _numbers(values: np.ndarray) -> pa.Array:
    whole = values.astype(np.int64)
    return pa.array(whole if (whole == values).all() else values)
