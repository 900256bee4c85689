"""Task files of users: small modules and datasets, whole or broken on purpose."""

from pathlib import Path

from autoopt.task import TaskOptions, prepare_task
from autoopt.task.assemble import PreparedTask

HEAD = """\
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import autoopt

generator = torch.Generator().manual_seed(0)
x = torch.randn(120, 4, generator=generator)
y = (x[:, 0] + x[:, 1] > 0).long()
v = x[:, 0] * 2 + 1


def build(width=8, outputs=2):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


def cut(target=y, inputs=x):
    bounds = [slice(0, 80), slice(80, 100), slice(100, None)]
    return dict(zip(("train", "valid", "test"), (TensorDataset(inputs[b], target[b]) for b in bounds)))


"""
SOUND = "def task():\n    return autoopt.ModuleTask(build=build, **cut(), metric='accuracy')\n"


def write_task(folder: Path, body: str = SOUND, *, name: str = "task.py", head: str = HEAD) -> str:
    """The file, written; returns the reference of its function `task`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(head + body)
    return f"{folder / name}:task"


def prepared(folder: Path, body: str = SOUND, options: TaskOptions | None = None) -> PreparedTask:
    """The task of such a file."""
    return prepare_task(write_task(folder, body), options or TaskOptions())


def returning(fields: str, before: str = "") -> str:
    """A function `task` that returns a ModuleTask of these fields."""
    return f"{before}\n\ndef task():\n    return autoopt.ModuleTask({fields})\n"
