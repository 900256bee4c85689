"""Raw rows of any kind as files hold them, read for the front of a bundle: to predict them, or to compress on them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import user_path
from autoopt.runtime import FrontInput
from autoopt.task.images.archive import find_in_archive
from autoopt.task.images.folder import find_in_folder
from autoopt.task.images.found import ENDINGS_TOLD, ImageFile, has_picture_ending
from autoopt.task.modality import ARCHIVES
from autoopt.task.rows import rows_of
from autoopt.task.sources.arrays import read_arrays
from autoopt.task.sources.dispatch import read_table
from autoopt.task.table import Table

ARRAY_ENDINGS = (".npy", ".npz")


def are_arrays(inputs: Sequence[FrontInput], data: str) -> bool:
    """Whether these inputs are fed from files of arrays; else a table holds them, where they are no images."""
    if data.lower().endswith(ARRAY_ENDINGS) or not all(i.columns for i in inputs):
        return any(i.type == "tensor" for i in inputs)
    return False


def table_rows(inputs: Sequence[FrontInput], table: Table) -> pd.DataFrame:
    """The columns that the inputs are taken from. Raises DataError with all that is wrong with them."""
    taken = [name for i in inputs for name in i.columns]
    names = {kind: [i.name for i in inputs if i.type == kind] for kind in ("number", "category", "text")}
    return rows_of(
        table,
        number_columns=[*taken, *names["number"]],
        category_columns=names["category"],
        text_columns=names["text"],
    )


def image_files(image: FrontInput, data: str) -> tuple[ImageFile, ...]:
    """Of a folder, an archive, a table with a column of paths, or one file. Raises DataError where there is none."""
    place = user_path(data)
    if place.is_dir() or data.lower().endswith(ARCHIVES):
        files = (find_in_folder if place.is_dir() else find_in_archive)(place).files
        if not files:
            raise DataError(f"{data} holds no image.", f"{ENDINGS_TOLD}.")
        return files
    if has_picture_ending(place.name):
        return (ImageFile(name=place.name, folders=(), content=place),)
    return listed_images(image, data, read_table(data))


def listed_images(image: FrontInput, data: str, table: Table) -> tuple[ImageFile, ...]:
    """Of a table with a column of paths, which lie beside the file `data`. Raises DataError where there is none."""
    column = _path_column(image, data, table)
    paths = rows_of(table, category_columns=[column])[column]
    if not len(paths):
        raise DataError(f"{data} has no rows.", f"Give a row with a path in {image.name!r} for each image.")
    beside = user_path(data).parent
    return tuple(ImageFile(name=path, folders=(), content=beside / path) for path in paths)


def _path_column(image: FrontInput, data: str, table: Table) -> str:
    """The column named like the input; where there is none, the one whose first value is a picture's name."""
    if image.name in table.names:
        return image.name
    named = [n for n in table.names if table.rows and has_picture_ending(str(table.column(n)[0].as_py()))]
    if len(named) != 1:
        why = "more than one column holds names of images" if named else "no column holds names of images"
        mend = (
            f"Give a folder or an archive of images, one image, or a table with their paths in a column {image.name!r}."
        )
        raise DataError(f"{data} has no column {image.name!r}, and {why}.", mend)
    return named[0]


def array_rows(inputs: Sequence[FrontInput], data: str) -> dict[str, NDArray[Any]]:
    """Arrays by input name, of an .npz file, or of an .npy file where there is one input. Raises DataError."""
    names = ", ".join(f"{i.name} ({', '.join(['rows', *map(str, i.shape)])})" for i in inputs)
    mend = f"Give an .npz file with {names}" + ("." if len(inputs) > 1 else ", or an .npy file with that array.")
    if not data.lower().endswith(ARRAY_ENDINGS):
        raise DataError(f"{data} is no file of arrays, and the model takes arrays.", mend)
    return read_arrays(data, mend, alone=inputs[0].name)
