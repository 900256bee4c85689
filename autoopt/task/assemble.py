"""What the checks have understood becomes arrays, facts and a fingerprint."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import sha256_json
from autoopt.task.columns import Column
from autoopt.task.facts import ColumnFacts, Modality, Role, TaskFacts
from autoopt.task.metrics import Metric
from autoopt.task.options import TaskOptions
from autoopt.task.snapshot import PartArrays, write_snapshot
from autoopt.task.splits import BY_HASH, PARTS, Parts
from autoopt.task.table import Table
from autoopt.task.targets import Target
from autoopt.task.texts.given import GivenVectors
from autoopt.task.texts.word_vectors import WordVectors
from autoopt.task.wording import listed, quoted

_VERSION = 1  # of the fingerprint: what the same data are turned into


@dataclass(frozen=True, kw_only=True)
class PreparedTask:
    """A task that passed every check, in memory."""

    facts: TaskFacts
    categories: tuple[tuple[str, ...], ...]  # for each category column its values, '' first, the others sorted
    parts: dict[str, PartArrays]
    backbone: Path | None = None  # file of pre-trained weights, which the snapshot takes a copy of
    vectors: WordVectors | None = None
    graph: bytes | None = None  # that the user brought, which the snapshot keeps

    def save(self, folder: Path) -> None:
        """Write the snapshot. A folder that holds this task already is kept; a damaged one is written again."""
        write_snapshot(
            folder,
            self.facts,
            self.categories,
            self.parts,
            backbone=self.backbone,
            vectors=self.vectors,
            graph=self.graph,
        )


def _split_words(options: TaskOptions, target: Target) -> str:
    if options.split_column:
        return f"as the column {quoted(options.split_column)} says"
    if options.time_column:
        return f"by time ({quoted(options.time_column)}): oldest rows train, newest test"
    within = ", within each class" if target.kind.classifies else ""
    return f"{BY_HASH} of each row (seed {options.seed}){within}; equal rows stay together"


def _known_in_train(columns: list[Column], parts: Parts) -> list[Column]:
    """Columns without any value in train are left out: nothing can be learned of them."""
    train = parts == 0
    result = []
    for column in columns:
        empty = (column.numbers is not None and bool(np.isnan(column.numbers[train]).all())) or (
            column.codes is not None and not column.codes[train].any()
        )
        if column.texts is not None:
            empty = not any(text.strip() for text in column.texts[train])
        result.append(
            column.left_out(Role.CONSTANT, "no values in train; left out") if empty and column.facts.used else column
        )
    return result


def assemble(
    name: str,
    table: Table,
    options: TaskOptions,
    target: Target,
    chosen: Metric,
    columns: list[Column],
    parts: Parts,
    warnings: list[str],
    vectors: GivenVectors | None = None,
) -> PreparedTask:
    """A task of columns, target and split that passed the checks. DataError when train has no values at all."""
    columns = _known_in_train(columns, parts)
    used = [c for c in columns if c.facts.used]
    if not used:
        raise DataError("No column has values in train.", "Split otherwise, or give columns that are filled.")
    empty = [c.facts.name for c in columns if c.facts.note.startswith("no values")]
    if empty:
        warnings = [*warnings, f"Columns without values are left out: {listed(empty)}."]
    arrays = part_arrays(used, target, parts, table.row_numbers)
    facts = TaskFacts(
        name=name,
        modality=Modality.TEXT if options.text else Modality.TABULAR,
        kind=target.kind,
        metric=chosen.name,
        metric_direction=chosen.direction,
        target=str(options.target),
        classes=target.classes,
        numeric_classes=target.numeric_classes,
        columns=tuple(_with_target_counts(c.facts, target) for c in columns),
        rows={part: len(arrays[part].target) for part in PARTS},
        fingerprint="",
        warnings=tuple(warnings),
        split=_split_words(options, target),
        seed=options.seed,
        embeddings=vectors.facts if vectors else None,
    )
    categories = tuple(c.values for c in used if c.codes is not None)
    return PreparedTask(
        facts=replace(facts, fingerprint=fingerprint(facts, categories, arrays)),
        categories=categories,
        parts=arrays,
        vectors=vectors.vectors if vectors else None,
    )


def part_arrays(
    used: Sequence[Column], target: Target, parts: Parts, row_numbers: NDArray[np.int64]
) -> dict[str, PartArrays]:
    """The columns of each part, rows in the order of the file."""
    numbers = [c.numbers for c in used if c.numbers is not None]
    codes = [c.codes for c in used if c.codes is not None]
    matrix = np.stack(numbers, axis=1) if numbers else np.zeros((len(parts), 0))
    texts = [c.texts for c in used if c.texts is not None]
    code_matrix = np.stack(codes, axis=1) if codes else np.zeros((len(parts), 0), dtype=np.int32)
    arrays = {}
    for k, part in enumerate(PARTS):
        at = np.flatnonzero(parts == k)
        arrays[part] = PartArrays(
            numbers=np.ascontiguousarray(matrix[at], dtype=np.float64),
            codes=np.ascontiguousarray(code_matrix[at], dtype=np.int32),
            target=target.values[at],
            row_ids=row_numbers[at],
            texts=tuple(column[at] for column in texts),
        )
    return arrays


def _with_target_counts(facts: ColumnFacts, target: Target) -> ColumnFacts:
    if facts.role is not Role.TARGET:
        return facts
    distinct = len(target.classes) if target.kind.classifies else len(np.unique(target.values))
    return replace(facts, distinct=distinct)


def fingerprint(facts: TaskFacts, categories: tuple[tuple[str, ...], ...], parts: dict[str, PartArrays]) -> str:
    """SHA-256 over what is learned from and how: not the file's name, nor columns that are left out."""
    used = [[c.name, c.role, c.whole] for c in facts.columns if c.used]
    meant = [_VERSION, facts.modality, facts.kind, facts.metric, facts.target, facts.classes, facts.numeric_classes]
    meant += [facts.embeddings.sha256] if facts.embeddings else []
    digest = hashlib.sha256(sha256_json([*meant, used, categories, facts.split, facts.seed]).encode())
    for array in _every_array(parts):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _every_array(parts: dict[str, PartArrays]) -> Iterator[NDArray[np.generic]]:
    for part in PARTS:
        yield from (array for _, array in parts[part].arrays())
