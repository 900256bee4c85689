"""The front: what a graph cannot do itself. Columns as people have them become the graph's feed.

`front.json` declares it: the columns with their types, and what the scores mean. Version 1:

    {"version": 1, "kind": "binary", "target": "income", "classes": ["<=50K", ">50K"], "numeric_classes": false,
     "inputs": [{"name": "age", "type": "number", "input": "age"}, ...], "outputs": {"scores": "scores"}}
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError, DataError, Problem
from autoopt.runtime.cells import number_array, text_array

VERSION: Final = 1
SCORES: Final = "scores"
_RESERVED = re.compile(r"(features|codes|scores)?_*")

Feed = dict[str, NDArray[Any]]
"""Arrays (rows, 1) by graph input: float64 for numbers, object arrays of str for categories."""


class Columns(Protocol):
    """A table by column name: a dict of sequences, a DataFrame. Going over it gives the names."""

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, name: Any, /) -> Any: ...


def graph_input_name(column: str) -> str:
    """The graph input of a column: its own name.

    Only '' and names that the graph's outputs have ('features', 'codes', 'scores'), with or without underscores
    behind them, get one underscore more, so that no two columns meet.
    """
    return column + "_" if _RESERVED.fullmatch(column) else column


@final
@dataclass(frozen=True, kw_only=True)
class FrontInput:
    """One raw column that the graph reads."""

    name: str
    type: Literal["number", "category"]
    input: str  # name of the graph's input


@final
@dataclass(frozen=True, kw_only=True)
class Front:
    """What stands before and behind a graph."""

    inputs: tuple[FrontInput, ...]
    kind: str  # "binary", "multiclass" or "regression"
    classes: tuple[str, ...]  # in the order of the score columns; empty for regression
    numeric_classes: bool  # the labels were numbers: predictions are given as numbers
    target: str
    scores: str = SCORES  # name of the graph's output

    @classmethod
    def parse(cls, raw: Any, *, where: str = "front.json") -> "Front":
        """From the content of front.json. Raises BundleError when it is none, or of another version."""
        version = raw.get("version") if isinstance(raw, Mapping) else None
        if version != VERSION:
            raise BundleError(f"{where} has version {version!r}; this autoopt reads version {VERSION}. Export again.")
        try:
            inputs = tuple(_parse_input(i) for i in raw["inputs"])
            return cls(
                inputs=inputs,
                kind=str(raw["kind"]),
                classes=tuple(str(c) for c in raw["classes"]),
                numeric_classes=bool(raw.get("numeric_classes", False)),
                target=str(raw.get("target", "")),
                scores=str(raw.get("outputs", {}).get("scores", SCORES)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where} is damaged: {error!r}. Export again.") from error

    @classmethod
    def read(cls, path: Path) -> "Front":
        """From a file. Raises BundleError when there is none or it cannot be read."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be read: {error}. Is this a bundle's folder?") from error
        return cls.parse(raw, where=str(path))

    def to_json(self) -> dict[str, Any]:
        """What `parse` reads."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "target": self.target,
            "classes": list(self.classes),
            "numeric_classes": self.numeric_classes,
            "inputs": [{"name": i.name, "type": i.type, "input": i.input} for i in self.inputs],
            "outputs": {"scores": self.scores},
        }

    def feed(self, columns: Columns) -> Feed:
        """Columns → the graph's feed. Columns that the graph does not know are ignored; a scalar is one row.

        Numbers: None, NaN and '' are missing; text is parsed; booleans become 0 and 1. Categories: missing becomes
        '', numbers become text as a CSV file would have them. Raises DataError with all that is wrong: columns that
        are not there, text that is no number, columns of different lengths.
        """
        held = {str(name).strip(): name for name in columns} | {name: name for name in columns}
        absent = [i.name for i in self.inputs if i.name not in held]
        if absent:
            names = ", ".join(repr(n) for n in absent)
            raise DataError(
                f"{len(absent)} of {len(self.inputs)} columns that the model reads are missing: {names}.",
                "Add them; a value that is not known may be empty.",
            )
        problems: list[Problem] = []
        feed: Feed = {}
        for wanted in self.inputs:
            values = columns[held[wanted.name]]
            array = number_array(wanted.name, values, problems) if wanted.type == "number" else text_array(values)
            feed[wanted.input] = array[:, None]
        lengths = {name: len(a) for name, a in feed.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{n!r}: {c}" for n, c in list(lengths.items())[:10])
            problems.append(Problem(what=f"Columns differ in length: {told}.", mend="Give every row each column."))
        if problems:
            raise DataError(problems)
        return feed

    def labels(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Predictions of scores (rows, classes or 1): the most probable class's label, or the value (rows,)."""
        if not self.classes:
            return scores[:, 0].astype(np.float64)
        found: NDArray[Any] = self._label_array()[scores.argmax(axis=1)]
        return found

    def _label_array(self) -> NDArray[Any]:
        if not self.numeric_classes:
            return np.array(self.classes, dtype=object)
        values = np.array([float(c) for c in self.classes])
        return values.astype(np.int64) if (values == np.floor(values)).all() else values


def front_json(
    *,
    number_columns: Sequence[str],
    category_columns: Sequence[str],
    kind: str,
    classes: Sequence[str],
    numeric_classes: bool,
    target: str,
) -> dict[str, Any]:
    """The content of front.json for a task; number columns include booleans."""
    numbers = [FrontInput(name=c, type="number", input=graph_input_name(c)) for c in number_columns]
    categories = [FrontInput(name=c, type="category", input=graph_input_name(c)) for c in category_columns]
    front = Front(
        inputs=(*numbers, *categories),
        kind=kind,
        classes=tuple(classes),
        numeric_classes=numeric_classes,
        target=target,
    )
    return front.to_json()


def _parse_input(raw: Mapping[str, Any]) -> FrontInput:
    kind = raw["type"]
    if kind not in ("number", "category"):
        raise ValueError(f"unknown input type {kind!r}")
    name = str(raw["name"])
    return FrontInput(name=name, type=kind, input=str(raw.get("input", graph_input_name(name))))
