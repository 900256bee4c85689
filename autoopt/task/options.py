"""What the user says about a task; everything else is inferred."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options of `prepare_task`. None means: not given, find out."""

    target: str | None = None
    metric: str | None = None
    split_column: str | None = None  # its values name the part of each row
    time_column: str | None = None  # oldest rows train, newest test
    text: tuple[str, ...] = ()  # columns of free text that are to be learned from
    embeddings: str | Path | None = None  # a file of word vectors that networks may begin with
    image: str | None = None  # the column that names image files
    image_size: int | None = None  # pixels a side that images are kept at
    backbone: str | Path | None = None  # file of pre-trained weights for images
    rows: str | Path | None = None  # beside a graph of the user's own: the data that it is compressed on
    normalize: str | None = None  # of images for such a graph: 'imagenet', 'none' or 'mean;std'
    verify_key: str | Path | None = None  # of a bundle in place of such a graph: what it must be signed with
    trained: bool = False  # of a module: `build` gives it with its trained weights
    seed: int = 0  # of the hash split
