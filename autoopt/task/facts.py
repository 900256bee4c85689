"""What is known of a task once its data were read, checked and split. Plain values: a worker gets them as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from autoopt.values import Direction


class Kind(StrEnum):
    """What is to be learned."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def classifies(self) -> bool:
        return self is not Kind.REGRESSION


class Role(StrEnum):
    """What a column is taken for. Numbers, truth values and categories are learned from, and texts where asked for."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    DATE = "date"
    TEXT = "text"
    TARGET = "target"
    SPLIT = "split"
    TIME = "time"


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """One column as it was understood."""

    name: str
    role: Role
    used: bool
    missing: int = 0  # rows without a value
    distinct: int = 0  # different values, missing not counted
    note: str = ""  # why it was left out, or what was done with it
    whole: bool = (
        False  # a number column in which every value is a whole number: `Snapshot.frame` gives int64 if it can
    )


class Modality(StrEnum):
    """What the data are. A space, a way of preparing and some models belong to each."""

    TABULAR = "tabular"
    TEXT = "text"  # a table whose text columns are learned from
    IMAGES = "images"
    MODULE = "module"  # the user's own network and datasets
    GRAPH = "graph"  # a trained graph of the user's own, in an ONNX file


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """One raw input that is an array: the pixels of an image, an input of a user's module or graph."""

    name: str  # of the graph's input
    dtype: str  # numpy's name of it, such as 'uint8' or 'float32'
    shape: tuple[int, ...]  # of one row: (height, width, 3) for pixels
    pixels: Mapping[str, Any] | None = None  # of pixels that the graph takes otherwise: how, as `files.pictures` reads
    columns: tuple[str, ...] = ()  # of a table that its rows were taken from, in their order

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "TensorFacts":
        return cls(**{**raw, "shape": tuple(raw["shape"]), "columns": tuple(raw.get("columns", ()))})


@dataclass(frozen=True, kw_only=True)
class ModuleFacts:
    """What is known of the user's own module and datasets."""

    files: Mapping[str, str]  # its source, and what that imports from its folder: absolute path → SHA-256
    loss: str  # of task.module.LOSSES, or 'own'
    output: str  # 'logits' (rows, classes), 'logit' of the second class (rows,) or (rows, 1), 'values' likewise
    choices: Mapping[str, Mapping[str, Any]]  # the user's dimensions, as task.module.choices writes them
    held: bool  # train's items are the same each time and fit: they are kept as arrays
    flat_outputs: bool = False  # of one output a row: (rows,), not (rows, 1)
    flat_targets: bool = True  # targets are (rows,) in a batch, not (rows, 1)
    own_metric: bool = False  # the metric is a function of the user's
    convolves: bool = False  # it has convolutions
    image_axes: tuple[int, int] | None = None  # of a row: height and width, where it takes images of any size
    untraceable: str = ""  # why torch.export cannot follow its code; '' where it can
    sample: str = ""  # SHA-256 over some of train's rows; '' where nothing of them is the same each time
    weights: str = ""  # SHA-256 over those that `build` gives, where it came trained; '' where it is trained here

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "ModuleFacts":
        axes = raw.get("image_axes")
        return cls(**{**raw, "image_axes": None if axes is None else (axes[0], axes[1])})


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """A file of pre-trained weights that the user gave; the snapshot holds a copy of it."""

    name: str  # of the file
    sha256: str
    architecture: str  # in words: 'ResNet-18 of 64 to 512 channels'


@dataclass(frozen=True, kw_only=True)
class EmbeddingsFacts:
    """A file of word vectors that the user gave; the snapshot holds what of it the texts need."""

    name: str  # of the file
    sha256: str
    dimension: int  # numbers of each vector
    words: int  # of those that the training texts may have


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What is known of a trained graph that the user brought; the snapshot holds a copy of it."""

    name: str  # of the file
    sha256: str
    opset: int
    scores: str  # name of the output that is judged
    form: str  # of that output: as `runtime.session` reads it
    labelled: bool  # the data say what is right; else quality is agreement with the graph itself
    weights: Mapping[str, int]  # constant numbers by the operator that multiplies with them; 0 for trees
    nodes: Mapping[str, int] = field(default_factory=dict)  # of those operators, trees aside; none in old snapshots
    own_trees: bool = False  # its model is trees of one model, as autoopt writes them
    raw_form: str = ""  # of a bundle's graph, which takes rows as its front says: the modality they are given like


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task, as its snapshot on disk describes it."""

    name: str  # e.g. "adult.csv" or "demo:digits"
    modality: Modality
    kind: Kind
    metric: str
    metric_direction: Direction
    target: str
    classes: tuple[str, ...]  # labels in the order of the probability columns; empty for regression
    numeric_classes: bool  # labels were numbers in the file: predictions are written as such
    columns: tuple[ColumnFacts, ...]
    rows: Mapping[str, int]  # {"train": ..., "valid": ..., "test": ...}
    fingerprint: str  # SHA-256 over the content of the data, the roles, the split and its seed
    warnings: tuple[str, ...] = ()
    split: str = ""  # how the rows were split, in a user's words
    seed: int = 0  # of the split
    tensors: tuple[TensorFacts, ...] = ()  # raw inputs beside the columns, in the order of the graph's inputs
    module: str = ""  # of a module task: where its function is, 'path/to/task.py:function'
    module_facts: ModuleFacts | None = None  # of a module task
    backbone: BackboneFacts | None = None  # of images: what a network may begin with
    embeddings: EmbeddingsFacts | None = None  # of texts: what a network's embeddings may begin with
    graph: GraphFacts | None = None  # of a graph that the user brought

    @property
    def positive_class(self) -> str | None:
        """Of two classes the second: F1, precision, recall and average precision are about it. None otherwise."""
        return self.classes[1] if self.kind is Kind.BINARY else None

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Number and boolean columns, in file order: float64 in a snapshot, NaN where missing."""
        return tuple(c.name for c in self.columns if c.used and c.role in (Role.NUMBER, Role.BOOLEAN))

    @property
    def category_columns(self) -> tuple[str, ...]:
        """Category columns, in file order: text in a snapshot, '' where missing."""
        return tuple(c.name for c in self.columns if c.used and c.role is Role.CATEGORY)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns of free text that are learned from, in file order: text in a snapshot, '' where missing."""
        return tuple(c.name for c in self.columns if c.used and c.role is Role.TEXT)

    @property
    def came_trained(self) -> bool:
        """Whether there is nothing to train: a graph of the user's own, or a module with its trained weights."""
        return self.graph is not None or (self.module_facts is not None and bool(self.module_facts.weights))

    @property
    def raw_form(self) -> Modality:
        """How raw rows are given: a graph of the user's own takes images or arrays, a bundle's what it took before."""
        if self.modality is not Modality.GRAPH:
            return self.modality
        if self.graph is not None and self.graph.raw_form:
            return Modality(self.graph.raw_form)
        return Modality.IMAGES if any(t.pixels for t in self.tensors) else Modality.MODULE

    @property
    def image_axes(self) -> tuple[int, int] | None:
        """Height and width among the dimensions of one image; None without images that may have another size."""
        if self.modality is Modality.IMAGES:
            return (0, 1)
        return self.module_facts.image_axes if self.module_facts else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "TaskFacts":
        columns = tuple(ColumnFacts(**{**c, "role": Role(c["role"])}) for c in raw["columns"])
        tensors = tuple(TensorFacts.from_json(t) for t in raw.get("tensors", ()))
        changed = {
            "modality": Modality(raw["modality"]),
            "kind": Kind(raw["kind"]),
            "columns": columns,
            "classes": tuple(raw["classes"]),
            "tensors": tensors,
            "module_facts": ModuleFacts.from_json(raw["module_facts"]) if raw.get("module_facts") else None,
            "backbone": BackboneFacts(**raw["backbone"]) if raw.get("backbone") else None,
            "embeddings": EmbeddingsFacts(**raw["embeddings"]) if raw.get("embeddings") else None,
            "graph": GraphFacts(**raw["graph"]) if raw.get("graph") else None,
        }
        return cls(**{**raw, **changed, "warnings": tuple(raw["warnings"])})
