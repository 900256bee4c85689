"""The user's own network and datasets as a task: `path/to/task.py:function` gives a ModuleTask."""

from autoopt.task.module.spec import LOSSES, ModuleTask

__all__ = ["LOSSES", "ModuleTask"]
