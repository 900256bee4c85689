"""Images as PNG bytes of one file, decoded when they are asked for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.learning.rows import Arrays, StoredRows

FILE = "images.bin"
OFFSETS = "offsets.npy"
_COMPRESSION = 1  # of 9: a tenth of the bytes more than the usual 6, in a third of the time


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The mapped bytes (n,), and where each image begins, with the end of the last: int64 (rows + 1,)."""

    content: NDArray[np.uint8]
    offsets: NDArray[np.int64]


@final
class EncodedRows(StoredRows[Opened]):
    """`images.bin` and `offsets.npy`. PNG loses nothing, so the pixels are those of every other form."""

    form: ClassVar[str] = "encoded"

    @classmethod
    def why_not(cls, arrays: Sequence[NDArray[Any]]) -> str | None:
        if len(arrays) == 1 and arrays[0].dtype == np.uint8 and arrays[0].ndim == 4 and arrays[0].shape[3] == 3:
            return None
        return "only images of three colours can be encoded"

    @classmethod
    def write(cls, arrays: Sequence[NDArray[Any]], folder: Path) -> None:
        from PIL import Image

        offsets = [0]
        with (folder / FILE).open("wb") as file:
            for pixels in arrays[0]:
                picture = io.BytesIO()
                Image.fromarray(np.asarray(pixels)).save(picture, "PNG", compress_level=_COMPRESSION)
                offsets.append(offsets[-1] + file.write(picture.getbuffer()))
        np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))

    def _open(self, folder: Path) -> Opened:
        offsets = np.load(folder / OFFSETS, allow_pickle=False)
        return Opened(content=np.memmap(folder / FILE, dtype=np.uint8, mode="r"), offsets=offsets)

    @property
    def rows(self) -> int:
        return len(self._handle.offsets) - 1

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        return (np.stack([_decoded(self._handle, int(index)) for index in indices]),)


def _decoded(opened: Opened, index: int) -> NDArray[np.uint8]:
    from PIL import Image

    start, end = opened.offsets[index], opened.offsets[index + 1]
    with Image.open(io.BytesIO(opened.content[start:end].tobytes()), formats=("PNG",)) as picture:
        return np.array(picture)
