"""The front: what a graph cannot do itself. Columns as people have them become the graph's feed.

`front.json` declares it: the inputs with their types, and what the scores mean. Version 1:

    {"version": 1, "kind": "binary", "target": "income", "classes": ["<=50K", ">50K"], "numeric_classes": false,
     "inputs": [{"name": "age", "type": "number", "input": "age"}, ...], "outputs": {"scores": "scores"}}

Types: 'number', 'category' and 'text' are columns; 'image' and 'tensor' have the "dtype" and "shape" of one row too.
Of a graph that was not made here an image has a "form", as `files.pictures.as_input` reads it, a tensor the "columns"
of a table that it may be taken from, and the outputs a "form", as `session.as_scores` reads it.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, final, get_args

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError, DataError, Problem
from autoopt.runtime.arrays import tensor_array
from autoopt.runtime.cells import number_array, text_array

VERSION: Final = 1
SCORES: Final = "scores"
_RESERVED = re.compile(r"(features|codes|scores)?_*")
_MOST_ROW_BYTES = 1 << 30
"""Of an image or tensor: a front that says more is damaged, and is found out before memory is taken for it."""

Feed = dict[str, NDArray[Any]]
"""Arrays by graph input: (rows, 1) of float64 for numbers and of str objects for categories and texts, uint8
(rows, height, width, 3) for images, (rows, ...) for tensors."""

InputType = Literal["number", "category", "text", "image", "tensor"]


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
    """One raw input that the graph reads."""

    name: str
    type: InputType
    input: str  # name of the graph's input
    dtype: str = ""  # of an image or tensor: numpy's name of it
    shape: tuple[int, ...] = ()  # of one row of it: (height, width, 3) for an image
    form: Mapping[str, Any] | None = None  # of an image that the graph takes otherwise than as these pixels
    columns: tuple[str, ...] = ()  # of a table that a tensor may be taken from, in their order

    @classmethod
    def image(cls, name: str, height: int, width: int, form: Mapping[str, Any] | None = None) -> "FrontInput":
        """Pixels as uint8."""
        return cls(name=name, type="image", input=name, dtype="uint8", shape=(height, width, 3), form=form)

    @classmethod
    def tensor(cls, name: str, dtype: str, shape: Sequence[int], columns: Sequence[str] = ()) -> "FrontInput":
        """An array, as a user's own module or graph takes it; `shape` is that of one row."""
        return cls(name=name, type="tensor", input=name, dtype=dtype, shape=tuple(shape), columns=tuple(columns))

    @property
    def row_bytes(self) -> int:
        """Of an image or tensor, one row of it; 0 for a column."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize if self.dtype else 0

    def to_json(self) -> dict[str, Any]:
        """An entry of front.json's inputs."""
        plain: dict[str, Any] = {"name": self.name, "type": self.type, "input": self.input}
        plain |= {"dtype": self.dtype, "shape": list(self.shape)} if self.dtype else {}
        plain |= {"form": dict(self.form)} if self.form else {}
        return plain | ({"columns": list(self.columns)} if self.columns else {})

    def given_in(self, held: Mapping[str, Any]) -> bool:
        """Whether columns of these names hold it: under its own, or as those that it may be taken from."""
        return self.name in held or (bool(self.columns) and all(name in held for name in self.columns))

    def taken_from(self, columns: Columns, held: Mapping[str, Any]) -> Any:
        """Its values; `held` are the columns' names by what they are called here."""
        if self.name in held and self.columns in ((), (self.name,)):
            values = columns[held[self.name]]
            return np.asarray(values)[:, None] if self.columns and self.shape and np.ndim(values) == 1 else values
        if self.name in held:
            return columns[held[self.name]]
        return np.stack([np.asarray(columns[held[name]]) for name in self.columns], axis=-1)

    def array(self, values: Any, problems: list[Problem], *, opens_files: bool) -> NDArray[Any]:
        """The rows of this input as the graph takes them; what is wrong with them is added to `problems`.

        Without `opens_files` a path is wrong.
        """
        if self.type == "image":
            from autoopt.files.pictures import as_input
            from autoopt.runtime.images import picture_array  # of autoopt.files, and PIL: not for tables

            height, width, _ = self.shape
            pixels = picture_array(self.name, values, height, width, problems, opens_files=opens_files)
            return pixels if self.form is None else as_input(pixels, self.form)
        if self.type == "tensor":
            return tensor_array(self.name, values, self.dtype, self.shape, problems)
        return (number_array(self.name, values, problems) if self.type == "number" else text_array(values))[:, None]


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
    form: str = ""  # of that output, as `session.as_scores` reads it

    @classmethod
    def parse(cls, raw: Any, *, where: str = "front.json") -> "Front":
        """From the content of front.json. Raises BundleError when it is none, or of another version."""
        version = raw.get("version") if isinstance(raw, Mapping) else None
        if version != VERSION:
            raise BundleError(f"{where} has version {version!r}; this autoopt reads version {VERSION}. Export again.")
        try:
            front = cls(
                inputs=tuple(_parse_input(i) for i in raw["inputs"]),
                kind=str(raw["kind"]),
                classes=tuple(str(c) for c in raw["classes"]),
                numeric_classes=bool(raw.get("numeric_classes", False)),
                target=str(raw.get("target", "")),
                scores=str(raw.get("outputs", {}).get("scores", SCORES)),
                form=str(raw.get("outputs", {}).get("form", "")),
            )
            if not front.inputs:
                raise ValueError("there is no input")
            if front.numeric_classes and not np.isfinite([float(c) for c in front.classes]).all():
                raise ValueError("a class is no number")
            return front
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"{where} is damaged: {error!r}. Export again.") from error

    @classmethod
    def read(cls, path: Path) -> "Front":
        """From a file. Raises BundleError when there is none or it cannot be read."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
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
            "inputs": [i.to_json() for i in self.inputs],
            "outputs": {"scores": self.scores, **({"form": self.form} if self.form else {})},
        }

    def feed(self, columns: Columns, *, opens_files: bool = True) -> Feed:
        """Columns → the graph's feed. Columns that the graph does not know are ignored; a scalar is one row.

        Numbers: None, NaN and '' are missing; text is parsed; booleans become 0 and 1. Categories and texts: missing
        becomes '', numbers become text as a CSV file would have them. Images: paths (with `opens_files`, for rows of
        one's own), bytes of files, 'data:image/...' texts, uint8 arrays (height, width, 3) or (height, width), PIL
        images. Tensors: (rows, ...) of their shape.
        Raises DataError with all that is wrong: columns that are not there, text that is no number, an image that
        cannot be decoded, a wrong shape, columns of different lengths.
        """
        held = {str(name).strip(): name for name in columns} | {name: name for name in columns}
        absent = [i.name for i in self.inputs if not i.given_in(held)]
        if absent:
            names = ", ".join(repr(n) for n in absent)
            arrays = all(i.type == "tensor" and not i.columns for i in self.inputs)
            mend = "Add them; a value that is not known may be empty."
            raise DataError(
                f"{len(absent)} of {len(self.inputs)} {'arrays' if arrays else 'columns'} that the model reads "
                f"are missing: {names}.",
                "Give an array by each of these names." if arrays else mend,
            )
        problems: list[Problem] = []
        feed: Feed = {}
        for wanted in self.inputs:
            feed[wanted.input] = wanted.array(wanted.taken_from(columns, held), problems, opens_files=opens_files)
        lengths = {name: len(a) for name, a in feed.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{n!r}: {c}" for n, c in list(lengths.items())[:10])
            problems.append(Problem(what=f"Columns differ in length: {told}.", mend="Give every row each column."))
        if problems:
            raise DataError(problems)
        return feed

    @property
    def score_columns(self) -> tuple[str, ...]:
        """What the columns of scores are called beside a prediction; none for values."""
        what = "score" if self.form in ("logits", "logit") else "probability"
        return tuple(f"{what}_{label}" for label in self.classes)

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
    text_columns: Sequence[str] = (),
    arrays: Sequence[FrontInput] = (),
    scores: str = SCORES,
    form: str = "",
) -> dict[str, Any]:
    """The content of front.json for a task; number columns include booleans, `arrays` are its images and tensors."""
    columns: tuple[tuple[InputType, Sequence[str]], ...] = (
        ("number", number_columns),
        ("category", category_columns),
        ("text", text_columns),
    )
    inputs = [FrontInput(name=c, type=t, input=graph_input_name(c)) for t, names in columns for c in names]
    front = Front(
        inputs=(*inputs, *arrays),
        kind=kind,
        classes=tuple(classes),
        numeric_classes=numeric_classes,
        target=target,
        scores=scores,
        form=form,
    )
    return front.to_json()


def _parse_input(raw: Mapping[str, Any]) -> FrontInput:
    name, kind = str(raw["name"]), raw["type"]
    if kind not in get_args(InputType):
        raise ValueError(f"unknown input type {kind!r}")
    if kind not in ("image", "tensor"):
        return FrontInput(name=name, type=kind, input=str(raw.get("input", graph_input_name(name))))
    shape = tuple(int(size) for size in raw["shape"])
    if kind == "image" and (len(shape) != 3 or shape[2] != 3 or min(shape) < 1):
        raise ValueError(f"an image of shape {shape}")
    dtype = np.dtype(str(raw["dtype"]))
    if dtype.kind not in "biuf" or dtype.subdtype is not None:
        raise ValueError(f"an array of {dtype}")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize > _MOST_ROW_BYTES:
        raise ValueError(f"a row of shape {shape}")
    return FrontInput(
        name=name,
        type=kind,
        input=str(raw.get("input", name)),
        dtype=dtype.name,
        shape=shape,
        form=_parse_form(raw.get("form")),
        columns=tuple(str(c) for c in raw.get("columns", ())),
    )


def _parse_form(raw: Any) -> dict[str, Any] | None:
    """How pixels are given to the graph. Raises ValueError, KeyError, TypeError for what cannot be."""
    if raw is None:
        return None
    colours = {name: [float(v) for v in raw[name]] for name in ("mean", "std")}
    dtype, scale = np.dtype(str(raw["dtype"])), float(raw["scale"])
    if raw["layout"] not in ("NCHW", "NHWC") or dtype.name not in ("uint8", "float16", "float32", "float64"):
        raise ValueError(f"pixels as {raw['layout']} of {dtype}")
    if any(len(c) != 3 for c in colours.values()) or not scale or not all(colours["std"]):
        raise ValueError("pixels cannot be normalized so")
    return {"layout": raw["layout"], "dtype": dtype.name, "scale": scale, **colours}
