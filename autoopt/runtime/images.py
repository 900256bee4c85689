"""Images as people have them: paths, bytes, data URIs, arrays, PIL's; imported when the first one comes."""

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.files import pictures, user_path
from autoopt.runtime.cells import is_missing

if TYPE_CHECKING:
    from PIL import Image

_SHOWN = 5
_DATA_URI = "data:image/"


def picture_array(
    name: str, values: Any, height: int, width: int, problems: list[Problem], *, opens_files: bool = True
) -> NDArray[np.uint8]:
    """Pixels (rows, height, width, 3); a picture that cannot be had becomes black and a problem.

    A value is a path (a problem without `opens_files`), the bytes of a file, a 'data:image/...;base64,' text, a uint8
    array (h, w, 3) or (h, w), or a PIL image. A single one is one row.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.shape[1:] == (height, width, 3):
        return values
    cells = _cells(values)
    given = cells if opens_files else [_unopened(cell) for cell in cells]
    names = [_called(cell, row) for row, cell in enumerate(cells)]
    found, bad = read_images(list(zip(names, given, strict=True)), height, width)
    if bad:
        what = f"{len(bad)} of {len(found)} images in {name!r} cannot be read: {told(bad)}."
        forms = "a file's path or bytes" if opens_files else "a file's bytes, a 'data:image/...;base64,' text"
        mend = f"Correct or leave them out; an image is {forms}, a uint8 array, or a PIL image."
        problems.append(Problem(what=what, mend=mend))
    return found


def read_images(cells: Sequence[tuple[str, Any]], height: int, width: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Pixels (rows, height, width, 3) of images under their names, black where there are none, and what is wrong then.

    A PictureError in place of an image is what is wrong with it.
    """
    found = np.zeros((len(cells), height, width, 3), dtype=np.uint8)
    bad: list[str] = []
    with pictures.quiet_pictures():
        for row, (name, cell) in enumerate(cells):
            try:
                found[row] = _fitted(cell, height, width)
            except pictures.PictureError as error:
                bad.append(f"{name} {error}")
    return found, bad


def told(bad: Sequence[str]) -> str:
    """The first few of them."""
    return "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")


def _cells(values: Any) -> list[Any]:
    """One value for each row: a path, bytes, a PIL image or an array (h, w, 3) alone is one row."""
    if isinstance(values, np.ndarray):
        return [values] if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3 else list(values)
    if isinstance(values, str | bytes | bytearray | os.PathLike) or _is_pil(values):
        return [values]
    return list(values)


def _is_pil(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "PIL"  # without importing PIL for arrays


def _called(cell: Any, row: int) -> str:
    """A file by its path, everything else by its row."""
    return str(cell) if _is_path(cell) else f"row {row + 1}"


def _unopened(cell: Any) -> Any:
    """The cell; in place of a path, why it is not read."""
    return pictures.PictureError("is a path, and a served model opens no files") if _is_path(cell) else cell


def _is_path(cell: Any) -> bool:
    return isinstance(cell, str | os.PathLike) and str(cell) != "" and not str(cell).startswith(_DATA_URI)


def _fitted(cell: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Raises PictureError for what is no picture."""
    if isinstance(cell, np.ndarray):
        return pictures.fitted(_rgb(cell), height, width)
    return pictures.decode(_content(cell), height, width)


def _rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.size == 0 or pixels.shape[2:] not in ((), (3,)) or pixels.ndim < 2:
        came = f"{pixels.dtype} array {pixels.shape}"
        raise pictures.PictureError(f"is a {came}; uint8 (height, width, 3) or (height, width) is due")
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _content(cell: Any) -> bytes:
    """The bytes of a picture's file. Raises PictureError."""
    if isinstance(cell, pictures.PictureError):
        raise cell
    if isinstance(cell, bytes | bytearray):
        return bytes(cell)
    if isinstance(cell, str) and cell.startswith(_DATA_URI):
        try:
            return base64.b64decode(cell.partition(",")[2], validate=True)
        except ValueError:
            raise pictures.PictureError("is a data URI that is no base64") from None
    if _is_path(cell):
        return _file_content(user_path(cell))
    if _is_pil(cell):
        return _png(cell)
    raise pictures.PictureError("is empty" if is_missing(cell) or cell == "" else f"is of type {type(cell).__name__}")


def _file_content(path: Path) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise pictures.PictureError(f"cannot be read ({reason or error})") from None
    raise pictures.PictureError("is a folder" if path.is_dir() else "is not there")


def _png(image: "Image.Image") -> bytes:
    """Any mode that PNG knows stays, so that every picture is made RGB in one place."""
    buffer = io.BytesIO()
    known = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else image.convert("RGB")
    known.save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()
