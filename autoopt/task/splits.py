"""Train, valid and test: by a hash of each row, by a column that says so, or by time.

The hash is of a row's inputs under the names of its columns, so that equal inputs land in the same part, whatever their
labels, and neither the order of the rows nor that of the columns, nor the machine, nor the file's format matters.
Within each class, rows in the order of their hashes are cut at the shares. Parts are int8: 0 train, 1 valid, 2 test.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.columns import Column
from autoopt.task.metrics import Metric
from autoopt.task.moments import moments
from autoopt.task.targets import Target, label_texts
from autoopt.task.wording import count, counted_rows, listed, quoted

PARTS = ("train", "valid", "test")
BY_HASH = "by a hash"
"""How the words begin that tell of the usual split."""
TEST_SHARE = 0.20
VALID_SHARE, VALID_SHARE_OF_MANY = 0.16, 0.10
MANY_ROWS = 5000
"""From here on a tenth of the rows tells candidates apart well enough, and the rest is better learned from."""
PART_ALIASES = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}
"""How people call the three parts, in lower case."""
Parts = NDArray[np.int8]
_WORD = np.uint64
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_NAN_BITS = np.uint64(0x7FF8000000000000)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele et al. 2014): every bit of the input moves every bit of the output."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def _text_word(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def row_hashes(columns: Sequence[Column], rows: int, seed: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each row over the columns that are learned from (an identifier must not tell twins apart)."""
    total = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        salt = np.uint64(_text_word(f"column {column.facts.name}"))
        if column.numbers is not None:
            bits = column.numbers.astype("<f8").view(np.uint64)
            words = np.where(np.isnan(column.numbers), _NAN_BITS, bits)
        elif column.codes is not None:
            words = np.array([_text_word(v) for v in column.values], dtype=np.uint64)[column.codes]
        elif column.texts is not None:
            words = np.array([_text_word(v) for v in column.texts], dtype=np.uint64)
        else:
            continue
        total += _mixed(words ^ salt)
    return seeded(total, seed)


def seeded(words: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Hashes that are others for every seed of the split."""
    return _mixed(words ^ np.uint64(_text_word(f"seed {seed}")))


def shares(rows: int) -> tuple[float, float, float]:
    """Of so many rows in all: how much is for train, valid and test."""
    valid = VALID_SHARE if rows < MANY_ROWS else VALID_SHARE_OF_MANY
    return 1.0 - valid - TEST_SHARE, valid, TEST_SHARE


def cut(keys: NDArray[np.generic], of_rows: int) -> Parts:
    """Parts of rows in the order of their keys, at the shares of `of_rows`; rows of equal keys stay together.

    A group of equal keys goes where its middle lies. With three different keys or more, no part is empty.
    """
    different, group = np.unique(keys, return_inverse=True)
    sizes = np.bincount(group)
    middle = (np.cumsum(sizes) - sizes / 2) / len(keys)
    part = np.searchsorted(np.cumsum(shares(of_rows))[:2], middle, side="right").astype(np.int8)
    part[0] = 0
    if len(different) >= 3:
        part[-1] = 2
        if not (part == 1).any():
            part[-2] = 1
    elif len(different) == 2:
        part[:] = (1, 0) if sizes[1] > sizes[0] else (0, 1)
    cuts: Parts = part[group]
    return cuts


def by_hash(hashes: NDArray[np.uint64], target: Target) -> Parts:
    """Parts by hash, within each class; rows of equal hashes stay together, whatever their classes."""
    if not target.kind.classifies:
        return cut(hashes, len(hashes))
    parts = np.zeros(len(hashes), dtype=np.int8)
    for k in range(len(target.classes)):
        members = np.flatnonzero(target.values == k)
        if len(members):
            parts[members] = cut(hashes[members], len(hashes))
    return _reunited(parts, hashes)


def _reunited(parts: Parts, hashes: NDArray[np.uint64]) -> Parts:
    """Rows of equal hashes in one part: what train has of them must not be asked for in valid or test.

    Each goes to the first of their parts, so that no class leaves train. Where a part is empty then, as it can be where
    few rows differ at all, all classes are cut as one.
    """
    _, group = np.unique(hashes, return_inverse=True)
    first = np.full(group.max() + 1, len(PARTS), dtype=np.int8)
    np.minimum.at(first, group, parts)
    united: Parts = first[group]
    return united if len(np.unique(united)) == len(PARTS) else cut(hashes, len(hashes))


def by_column(name: str, array: pa.Array, rows: NDArray[np.int64]) -> tuple[Parts | None, list[Problem]]:
    """Parts as a column names them."""
    texts = label_texts(array)
    part = np.array([PART_ALIASES.get(v.strip().lower(), -1) for v in texts.values], dtype=np.int8)
    parts: Parts = part[texts.codes]
    unknown = parts < 0
    if unknown.any():
        shown = listed([v for k, v in enumerate(texts.values) if part[k] < 0 and texts.counts[k]])
        what = f"--split-column {quoted(name)} holds {shown} in {counted_rows(rows[unknown])}."
        return None, [Problem(what=what, mend="Allowed: train, valid (or val, validation, dev), test.")]
    return parts, []


def by_time(name: str, array: pa.Array, rows: NDArray[np.int64]) -> tuple[Parts | None, list[Problem]]:
    """The oldest rows train, the newest test; rows of one moment stay together."""
    values, problem = moments(name, array, rows)
    if values is None or problem is not None:
        return None, [problem] if problem else []
    if len(np.unique(values)) < 3:
        what = f"--time-column {quoted(name)} has {count(len(np.unique(values)), 'different value')}; a split needs 3."
        return None, [Problem(what=what, mend="Give the column of a finer time, or leave the option out.")]
    return cut(values, len(values)), []


def check_parts(parts: Parts, target: Target, metric: Metric, warnings: list[str]) -> list[Problem]:
    """What a split lacks: empty parts, classes that train does not have, parts in which the metric means nothing."""
    empty = [name for k, name in enumerate(PARTS) if not (parts == k).any()]
    if empty:
        mend = "Every part needs rows: name all three in --split-column, or give rows that differ from each other."
        return [Problem(what=f"No rows are left for {listed(empty)}.", mend=mend)]
    if not target.kind.classifies:
        return []
    problems: list[Problem] = []
    present = [set(np.unique(target.values[parts == k]).tolist()) - {-1} for k in range(3)]
    mend = "Split otherwise, or give more rows of these classes."
    for k in (1, 2):
        unseen = sorted(present[k] - present[0])
        if unseen:
            names = listed([target.classes[int(c)] for c in unseen])
            at = int(np.isin(target.values[parts == k], unseen).sum())
            what = f"{PARTS[k]} has classes that train has not: {names} ({count(at, 'row')})."
            problems.append(Problem(what=what, mend=mend))
        elif len(present[k]) < 2 and metric.needs_both:
            only = quoted(target.classes[int(next(iter(present[k])))])
            problems.append(Problem(what=f"{PARTS[k]} has only the class {only}: no {metric.name} there.", mend=mend))
        elif len(present[k]) < len(target.classes):
            lacking = [c for j, c in enumerate(target.classes) if j not in present[k]]
            warnings.append(f"{PARTS[k]} has no row of {listed(lacking)}.")
    if len(present[0]) < 2:
        problems.append(Problem(what="train has rows of only one class.", mend=mend))
    return problems
