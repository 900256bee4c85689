"""Arrays by name from numpy's files. Nothing in them is executed."""

import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import user_path


def read_arrays(source: str, mend: str, *, alone: str = "") -> dict[str, NDArray[Any]]:
    """Of an .npz file; of an .npy file its array under the name `alone`, where one is given.

    Raises DataError with `mend` where the file cannot be read so.
    """
    try:
        loaded = np.load(user_path(source), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if not alone:
                raise ValueError("it holds one array without a name")
            return {alone: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
        raise DataError(f"{source} cannot be read: {reason}.", mend) from error
