"""A task on disk: plain arrays that a worker maps into memory, each with its SHA-256.

    snapshot.json   version, facts, the values of each category column, digest of every file, digest of all that
    train.numbers.npy   float64 (rows, n), NaN where missing; and valid, test
    train.codes.npy     int32 (rows, m) into the values of each category column, 0 where missing
    train.target.npy    int64 class indices or float64 values
    train.text0.npy     uint8, the texts of the first text column one after another as UTF-8; and text1, ...
    train.text0_ends.npy   int64, where each of them ends
    train.tensor0.npy   (rows, ...) the first array input, such as pixels; and tensor1, ...
    train.row_ids.npy   int64 rows of the file, as messages number them
    vectors.values.npy  float32 (words, dimension), where a file of word vectors was given
    vectors.words.npy   uint8, their words one after another as UTF-8; and vectors.ends.npy, where each of them ends
    backbone.safetensors   a copy of the pre-trained weights that the user gave, if any
    graph.onnx   a trained graph that the user brought, if any

A part's files are compared with their digests when the part is first asked for: the test part is not even read before
it is wanted.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import new_folder, sha256_file, sha256_json, write_json
from autoopt.task.facts import Role, TaskFacts
from autoopt.task.texts.word_vectors import WordVectors

MANIFEST = "snapshot.json"
BACKBONE = "backbone.safetensors"
GRAPH = "graph.onnx"
_VERSION = 1
_FIELDS = ("numbers", "codes", "target", "row_ids")
PartName = Literal["train", "valid", "test"]


def _nothing() -> NDArray[Any]:
    return np.zeros((0, 0), dtype=object)


@dataclass(frozen=True, kw_only=True)
class PartArrays:
    """A part as it is stored: categories by code."""

    numbers: NDArray[np.float64]
    codes: NDArray[np.int32]
    target: NDArray[np.int64] | NDArray[np.float64]
    row_ids: NDArray[np.int64]
    texts: tuple[NDArray[np.object_], ...] = ()  # for each text column (rows,) of str, '' where missing
    tensors: tuple[NDArray[Any], ...] = ()  # for each array input (rows, ...)

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Every array under the name of its file, texts as bytes."""
        yield from ((field, getattr(self, field)) for field in _FIELDS)
        for k, texts in enumerate(self.texts):
            content, ends = _as_bytes(texts)
            yield from ((f"text{k}", content), (f"text{k}_ends", ends))
        yield from ((f"tensor{k}", values) for k, values in enumerate(self.tensors))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one part: of tables in the order of the file, of images in that of a hash."""

    numbers: NDArray[np.float64]  # (rows, n) C-order, NaN where missing; columns as facts.number_columns
    categories: NDArray[Any]  # (rows, m) of str, '' where missing; columns as facts.category_columns
    target: NDArray[np.int64] | NDArray[np.float64]  # (rows,) class indices or values
    row_ids: NDArray[np.int64]  # (rows,) rows of the file, 1-based; the header of a text file is row 1
    texts: NDArray[Any] = dataclasses.field(default_factory=_nothing)  # (rows, t) of str; columns as facts.text_columns
    tensors: tuple[NDArray[Any], ...] = ()  # (rows, ...) each, mapped; as facts.tensors

    @property
    def rows(self) -> int:
        return len(self.target)

    def take(self, chosen: NDArray[np.int64] | slice) -> "Part":
        """Some of the rows; without a copy where `chosen` is a slice."""
        return Part(
            numbers=self.numbers[chosen],
            categories=self.categories[chosen],
            target=self.target[chosen],
            row_ids=self.row_ids[chosen],
            texts=self.texts[chosen] if self.texts.size else self.texts,
            tensors=tuple(values[chosen] for values in self.tensors),
        )


def write_snapshot(
    folder: Path,
    facts: TaskFacts,
    categories: Sequence[Sequence[str]],
    parts: Mapping[str, PartArrays],
    *,
    backbone: Path | None = None,
    vectors: WordVectors | None = None,
    graph: bytes | None = None,
) -> None:
    """Write a snapshot whole or not at all. One that is there and sound is kept.

    `backbone`: the file that `facts.backbone` tells of. Raises DataError when it is another by now.
    """
    if folder.exists():
        try:
            if Snapshot.open(folder).verify().facts.fingerprint == facts.fingerprint:
                return
        except DataError:
            pass
        shutil.rmtree(folder)
    with new_folder(folder) as temporary:
        files = {}
        for name, array in _every_array(parts, vectors):
            path = temporary / f"{name}.npy"
            np.save(path, array, allow_pickle=False)
            files[path.name] = sha256_file(path)
        if backbone is not None and facts.backbone is not None:
            files[BACKBONE] = _copied(backbone, temporary / BACKBONE, facts.backbone.sha256)
        if graph is not None:
            (temporary / GRAPH).write_bytes(graph)
            files[GRAPH] = sha256_file(temporary / GRAPH)
        content = {"version": _VERSION, "facts": facts.to_json(), "categories": categories, "files": files}
        write_json(temporary / MANIFEST, {**content, "sha256": sha256_json(content)})


def _every_array(
    parts: Mapping[str, PartArrays], vectors: WordVectors | None
) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Under the names of their files."""
    for name, part in parts.items():
        yield from ((f"{name}.{field}", array) for field, array in part.arrays())
    if vectors is not None:
        words, ends = _as_bytes(vectors.words)
        yield from (("vectors.values", vectors.values), ("vectors.words", words), ("vectors.ends", ends))


def _as_bytes(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts one after another as UTF-8, and where each of them ends."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    ends = np.cumsum([len(e) for e in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


class Snapshot:
    """A task's snapshot, opened for reading. Make it with `open`."""

    def __init__(
        self, folder: Path, facts: TaskFacts, categories: Sequence[Sequence[str]], files: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.facts = facts
        self._values = [np.array(values, dtype=object) for values in categories]
        self._files = files
        self._arrays: dict[str, PartArrays] = {}
        self._parts: dict[str, Part] = {}
        self._sound: set[str] = set()  # files beside the arrays that were compared with their digests

    @classmethod
    def open(cls, folder: Path | str) -> "Snapshot":
        """Read the manifest. Raises DataError when the folder is no snapshot, damaged, or of another version."""
        folder = Path(folder)
        try:
            raw = json.loads((folder / MANIFEST).read_text())
            digest = raw.pop("sha256")
            if raw["version"] != _VERSION:
                raise DataError(f"{folder} was written by another version of autoopt.", "Start the search again.")
            if sha256_json(raw) != digest:
                raise _damaged(folder, MANIFEST)
            return cls(folder, TaskFacts.from_json(raw["facts"]), raw["categories"], raw["files"])
        except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            raise _damaged(folder, MANIFEST) from None

    @property
    def categories(self) -> tuple[tuple[str, ...], ...]:
        """For each category column every value in the data, '' first, the others sorted."""
        return tuple(tuple(v.tolist()) for v in self._values)

    def part(self, name: PartName) -> Part:
        """One part. Its files are checked the first time; numbers, target and row_ids are mapped, not read."""
        if name not in self._parts:
            stored = self._stored(name)
            texts = np.empty(stored.codes.shape, dtype=object)
            for k, values in enumerate(self._values):
                texts[:, k] = values[stored.codes[:, k]]
            self._parts[name] = Part(
                numbers=stored.numbers,
                categories=texts,
                target=stored.target,
                row_ids=stored.row_ids,
                texts=_side_by_side(stored.texts, len(stored.target)),
                tensors=stored.tensors,
            )
        return self._parts[name]

    def frame(self, name: PartName, rows: NDArray[np.int64] | slice | None = None) -> pd.DataFrame:
        """Raw columns that are learned from, as the file has them, in its order; `rows` are positions in the part.

        Whole numbers are int64 where none is missing, truth values bool, missing numbers NaN, missing texts None.
        """
        part, at = self.part(name), slice(None) if rows is None else rows
        numbers = dict(zip(self.facts.number_columns, part.numbers[at].T, strict=True))
        texts = dict(zip(self.facts.category_columns, part.categories[at].T, strict=True))
        texts |= dict(zip(self.facts.text_columns, part.texts[at].T, strict=True))
        columns: dict[str, Any] = {}
        for column in (c for c in self.facts.columns if c.used):
            if column.name in texts:
                values = texts[column.name]
                columns[column.name] = pd.Series(np.where(values == "", None, values), dtype=object)
                continue
            values = numbers[column.name]
            gone = np.isnan(values).any()
            kind: type = bool if column.role is Role.BOOLEAN else np.int64 if column.whole else np.float64
            columns[column.name] = values.copy() if gone else values.astype(kind)
        return pd.DataFrame(columns)

    @property
    def backbone(self) -> Path | None:
        """The pre-trained weights, compared with their digest the first time; None where none were given."""
        return None if self.facts.backbone is None else self._given(BACKBONE)

    @property
    def graph(self) -> Path | None:
        """The graph that the user brought, compared with its digest the first time; None where none was."""
        return None if self.facts.graph is None else self._given(GRAPH)

    def word_vectors(self) -> WordVectors | None:
        """Those of the file that was given, of words that the training texts may have; None where none was."""
        if self.facts.embeddings is None:
            return None
        words = self._texts("vectors.words.npy", "vectors.ends.npy")
        return WordVectors(words=tuple(words), values=self._mapped("vectors.values.npy"))

    def verify(self) -> "Snapshot":
        """Compare every file with its digest. Raises DataError."""
        for name in ("train", "valid", "test"):
            self._stored(name)
        _ = self.backbone, self.graph, self.word_vectors()
        return self

    def _given(self, file: str) -> Path:
        if file not in self._sound:
            self._check(file)
            self._sound.add(file)
        return self.folder / file

    def _stored(self, name: str) -> PartArrays:
        if name not in self._arrays:
            arrays = {field: self._mapped(f"{name}.{field}.npy") for field in _FIELDS}
            columns = range(len(self.facts.text_columns))
            texts = tuple(self._texts(f"{name}.text{k}.npy", f"{name}.text{k}_ends.npy") for k in columns)
            tensors = tuple(self._mapped(f"{name}.tensor{k}.npy") for k in range(len(self.facts.tensors)))
            self._arrays[name] = PartArrays(**arrays, texts=texts, tensors=tensors)
        return self._arrays[name]

    def _texts(self, content_file: str, ends_file: str) -> NDArray[np.object_]:
        content = self._mapped(content_file).tobytes()
        ends = self._mapped(ends_file).tolist()
        found = np.empty(len(ends), dtype=object)
        found[:] = [content[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
        return found

    def _mapped(self, file: str) -> NDArray[Any]:
        path = self.folder / file
        self._check(file)
        try:
            # copy-on-write: torch warns of arrays that cannot be written, and the file stays as it is
            return np.asarray(np.load(path, mmap_mode="c" if _has_rows(path) else None, allow_pickle=False))
        except (OSError, ValueError):
            raise _damaged(self.folder, file) from None

    def _check(self, file: str) -> None:
        """Compare a file with its digest. Raises DataError."""
        try:
            sound = sha256_file(self.folder / file) == self._files[file]
        except (OSError, KeyError):
            sound = False
        if not sound:
            raise _damaged(self.folder, file)


def _copied(file: Path, copy: Path, digest: str) -> str:
    """Copy a file that had this digest; its digest."""
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise DataError(f"{file} can no longer be read: {error.strerror}.", "Start the search again.") from None
    if sha256_file(copy) != digest:
        raise DataError(f"{file} has changed since the search began.", "Start the search again.")
    return digest


def _side_by_side(columns: tuple[NDArray[np.object_], ...], rows: int) -> NDArray[Any]:
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0), dtype=object)


def _has_rows(path: Path) -> bool:
    """An array of no bytes cannot be mapped."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        return bool(np.prod(shape) > 0)


def _damaged(folder: Path, file: str) -> DataError:
    return DataError(
        f"The task's snapshot {folder} is damaged or incomplete: {file}.", "Remove it; search makes it again."
    )
