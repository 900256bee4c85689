"""Small messy tables for the preprocessing strategies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.model import Features
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts


@dataclass(frozen=True, kw_only=True)
class Table:
    """What preprocessing reads of a part."""

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]


def table(numbers: object = (), categories: object = (), *, rows: int = 0) -> Table:
    """From lists of rows; a table without numbers, or without categories, needs the count of its rows."""
    held = np.asarray(numbers, dtype=np.float64).reshape(rows or len(numbers), -1)  # type: ignore[arg-type]
    texts = np.array(categories, dtype=object).reshape(rows or len(held), -1)
    return Table(numbers=held, categories=texts)


def facts_of(
    numbers: tuple[str, ...], categories: tuple[str, ...], kind: Kind = Kind.BINARY, classes: int = 2
) -> TaskFacts:
    columns = [ColumnFacts(name=n, role=Role.NUMBER, used=True, missing=1, distinct=9) for n in numbers]
    columns += [ColumnFacts(name=n, role=Role.CATEGORY, used=True, missing=1, distinct=9) for n in categories]
    return TaskFacts(
        name="test",
        modality=Modality.TABULAR,
        kind=kind,
        metric="rmse",
        metric_direction="minimize",
        target="y",
        classes=tuple(f"c{i}" for i in range(classes)) if kind.classifies else (),
        numeric_classes=False,
        columns=tuple(columns),
        rows={"train": 1, "valid": 1, "test": 1},
        fingerprint="0" * 64,
    )


def messy_table(rows: int, seed: int) -> Table:
    """4 number columns (plain, large integers, constant, heavy-tailed) and 3 category columns, a tenth missing."""
    rng = np.random.default_rng(seed)
    numbers = np.stack(
        [
            rng.normal(5.0, 3.0, rows),
            1e15 + rng.integers(0, 50, rows),
            np.full(rows, 7.0),
            np.sign(rng.normal(size=rows)) * np.exp(rng.normal(0.0, 4.0, rows)),
        ],
        axis=1,
    )
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    words = np.array([f"wört {i}" for i in range(30)], dtype=object)
    categories = words[np.minimum(rng.exponential(4.0, (rows, 3)).astype(int), 29)]
    categories[rng.random(categories.shape) < 0.1] = ""
    return Table(numbers=numbers, categories=categories)


NUMBERS = ("plain", "large integers", "constant", "features")
CATEGORIES = ("farbe", "größe", "scores")


def target_of(kind: Kind, rows: int, seed: int) -> NDArray[np.int64] | NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    if kind is Kind.REGRESSION:
        return rng.normal(1e6, 1e5, rows)
    return np.arange(rows, dtype=np.int64)[rng.permutation(rows)] % (2 if kind is Kind.BINARY else 3)


def assert_same(found: Features, expected: Features, tolerance: float = 1e-6) -> None:
    """Equal codes, equal NaN, and numbers within the tolerance: absolute below 1, relative above."""
    assert found.numbers.dtype == np.float32
    assert found.codes.dtype == np.int64
    assert found.cardinalities == expected.cardinalities
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_allclose(
        found.numbers.astype(np.float64), expected.numbers.astype(np.float64), rtol=tolerance, atol=tolerance
    )
