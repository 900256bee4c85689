"""predict.py: what a bundle is predicted with where autoopt is not installed, for each kind of data."""

import inspect
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from autoopt.bundle.contents import BundleContents
from autoopt.bundle.needs import requirements
from autoopt.files import pictures
from autoopt.task.facts import Modality

SCRIPT_FILES: Final = ("predict.py", "pictures.py", "requirements.txt")
_READING: Final[Mapping[Modality, str]] = {
    Modality.TABULAR: "predict_table.txt",
    Modality.TEXT: "predict_table.txt",
    Modality.IMAGES: "predict_images.txt",
    Modality.MODULE: "predict_tensors.txt",
}
"""How each kind of data is read; `predict_main.txt` does the rest."""


def write_script(folder: Path, contents: BundleContents, modality: Modality) -> None:
    """Write predict.py and its requirements; for images also pictures.py, which decodes them as training did."""
    parts = [files("autoopt.bundle").joinpath(n).read_text("utf-8") for n in (_READING[modality], "predict_main.txt")]
    (folder / "predict.py").write_text("".join(parts), encoding="utf-8")
    needed = ["numpy"]
    if modality is Modality.IMAGES:
        (folder / "pictures.py").write_text(inspect.getsource(pictures), encoding="utf-8")
        needed.append("pillow")
    (folder / "requirements.txt").write_text(requirements(contents, needed))
