"""Which kind of data a source is, told from its name and the options alone: nothing is read."""

import os
from typing import Any

from autoopt.files import user_path
from autoopt.task.facts import Modality
from autoopt.task.options import TaskOptions

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
IMAGE_DEMO = "demo:digit_images"
GRAPH_ENDING = ".onnx"


def modality_of(source: Any, options: TaskOptions) -> Modality:
    """A folder or an archive is images, `file.py:function` a module, `.onnx` a graph; a table what options say.

    A folder beside which rows are given is a bundle, which holds a graph.
    """
    if options.text:
        return Modality.TEXT
    if options.image is not None:
        return Modality.IMAGES
    if not isinstance(source, str | os.PathLike):
        return Modality.MODULE if type(source).__name__ == "ModuleTask" else Modality.TABULAR
    name = os.fspath(source)
    if name.lower().endswith(GRAPH_ENDING) or (options.rows is not None and is_folder(name)):
        return Modality.GRAPH
    if is_module_reference(name):
        return Modality.MODULE
    if name == IMAGE_DEMO or name.lower().endswith(ARCHIVES) or is_folder(name):
        return Modality.IMAGES
    return Modality.TABULAR


def is_folder(name: str) -> bool:
    """Whether a source is a folder, whatever kind of name it is."""
    try:
        return user_path(name).is_dir()
    except OSError:  # a name that is too long
        return False


def is_module_reference(name: str) -> bool:
    """Whether a source is written like `path/to/task.py:function`."""
    path, colon, function = name.rpartition(":")
    return bool(colon) and path.endswith(".py") and function.isidentifier()
