"""Data of any kind on disk become a bundle's predictions."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from autoopt.bundle import Bundle
from autoopt.errors import DataError
from autoopt.files.pictures import PictureError
from autoopt.runtime import FrontInput
from autoopt.runtime.images import read_images, told
from autoopt.task import read_rows
from autoopt.task.images.archive import find_in_archive
from autoopt.task.images.folder import find_in_folder
from autoopt.task.images.found import ENDINGS_TOLD, ImageFile, has_picture_ending
from autoopt.task.modality import ARCHIVES
from autoopt.task.sources.dispatch import read_table

FILE = "file"
ARRAY_ENDINGS = (".npy", ".npz")
_IMAGES_AT_ONCE = 256


def predicted_data(bundle: Bundle, data: str, artifact: str) -> pd.DataFrame:
    """One line for each row of a table, image of a folder, archive or list, or row of arrays, in their order.

    Raises DataError for data that do not fit the bundle.
    """
    inputs = bundle.front.inputs
    image = next((i for i in inputs if i.type == "image"), None)
    if image is not None:
        return _predicted_images(bundle, image, data, artifact)
    columns = [name for i in inputs for name in i.columns]
    if columns and all(i.columns for i in inputs) and not data.lower().endswith(ARRAY_ENDINGS):
        return bundle.predict(read_rows(data, number_columns=columns), artifact=artifact)
    if any(i.type == "tensor" for i in inputs):
        return bundle.predict(_arrays(inputs, data), artifact=artifact)
    names = {kind: [i.name for i in inputs if i.type == kind] for kind in ("number", "category", "text")}
    rows = read_rows(
        data, number_columns=names["number"], category_columns=names["category"], text_columns=names["text"]
    )
    return bundle.predict(rows, artifact=artifact)


def _predicted_images(bundle: Bundle, image: FrontInput, data: str, artifact: str) -> pd.DataFrame:
    """With the column FILE before the predictions; all images are looked at before any that is bad is told."""
    files = _image_files(image, data)
    bad: list[str] = []
    found: list[pd.DataFrame] = []
    for start in range(0, len(files), _IMAGES_AT_ONCE):
        chosen = files[start : start + _IMAGES_AT_ONCE]
        pixels, wrong = read_images([(f.name, _content(f)) for f in chosen], image.shape[0], image.shape[1])
        bad += wrong
        if not bad:
            predicted = bundle.predict({image.name: pixels}, artifact=artifact)
            predicted.insert(0, FILE, [f.name for f in chosen])
            found.append(predicted)
    if bad:
        what = f"{len(bad)} of {len(files)} images cannot be read: {told(bad)}."
        raise DataError(what, "Correct them, or take them out.")
    return pd.concat(found, ignore_index=True)


def _content(file: ImageFile) -> bytes | PictureError:
    try:
        return file.read()
    except PictureError as error:
        return error


def _image_files(image: FrontInput, data: str) -> tuple[ImageFile, ...]:
    """Of a folder, an archive, a table with a column of paths, or one file. Raises DataError where there is none."""
    place = Path(data).expanduser()
    if place.is_dir() or data.lower().endswith(ARCHIVES):
        files = (find_in_folder if place.is_dir() else find_in_archive)(place).files
        if not files:
            raise DataError(f"{data} holds no image.", f"{ENDINGS_TOLD}.")
        return files
    if has_picture_ending(place.name):
        return (ImageFile(name=place.name, folders=(), content=place),)
    column = _path_column(image, data)
    paths = read_rows(data, category_columns=[column])[column]
    if not len(paths):
        raise DataError(f"{data} has no rows.", f"Give a row with a path in {image.name!r} for each image.")
    return tuple(ImageFile(name=path, folders=(), content=place.parent / path) for path in paths)


def _path_column(image: FrontInput, data: str) -> str:
    """The column named like the input; where there is none, the one whose first value is a picture's name."""
    table = read_table(data)
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


def _arrays(inputs: tuple[FrontInput, ...], data: str) -> dict[str, np.ndarray]:
    """Arrays by input name, of an .npz file, or of an .npy file where there is one input. Raises DataError."""
    names = ", ".join(f"{i.name} ({', '.join(['rows', *map(str, i.shape)])})" for i in inputs)
    mend = f"Give an .npz file with {names}" + ("." if len(inputs) > 1 else ", or an .npy file with that array.")
    if not data.lower().endswith(ARRAY_ENDINGS):
        raise DataError(f"{data} is no file of arrays, and the model takes arrays.", mend)
    try:
        loaded = np.load(Path(data).expanduser(), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {inputs[0].name: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{data} cannot be read: {reason}.", mend) from error
