"""Data of any kind on disk become a bundle's predictions."""

import pandas as pd

from autoopt.app.raw_rows import are_arrays, array_rows, image_files, table_rows
from autoopt.bundle import Bundle
from autoopt.errors import DataError
from autoopt.files.pictures import PictureError
from autoopt.runtime import FrontInput
from autoopt.runtime.images import read_images, told
from autoopt.task.images.found import ImageFile
from autoopt.task.sources.dispatch import read_table

FILE = "file"
_IMAGES_AT_ONCE = 256


def predicted_data(bundle: Bundle, data: str, artifact: str) -> pd.DataFrame:
    """One line for each row of a table, image of a folder, archive or list, or row of arrays, in their order.

    Raises DataError for data that do not fit the bundle.
    """
    inputs = bundle.front.inputs
    image = next((i for i in inputs if i.type == "image"), None)
    if image is not None:
        return _predicted_images(bundle, image, data, artifact)
    if are_arrays(inputs, data):
        return bundle.predict(array_rows(inputs, data), artifact=artifact)
    return bundle.predict(table_rows(inputs, read_table(data)), artifact=artifact)


def _predicted_images(bundle: Bundle, image: FrontInput, data: str, artifact: str) -> pd.DataFrame:
    """With the column FILE before the predictions; all images are looked at before any that is bad is told."""
    files = image_files(image, data)
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
