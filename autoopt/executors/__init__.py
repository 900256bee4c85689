"""Run attempts on slots, in this process or in processes of their own. Know no recipe, no study, no database."""

from autoopt.executors.base import (
    GANG,
    EntryPoint,
    Event,
    Executor,
    Failed,
    Finished,
    Job,
    Progress,
    Reporter,
    SlotFreed,
)
from autoopt.executors.inline import InlineExecutor
from autoopt.executors.launchers import ForkServer, FreshProcess, Launcher
from autoopt.executors.process import ProcessExecutor

__all__ = [
    "GANG",
    "EntryPoint",
    "Event",
    "Executor",
    "Failed",
    "Finished",
    "ForkServer",
    "FreshProcess",
    "InlineExecutor",
    "Job",
    "Launcher",
    "ProcessExecutor",
    "Progress",
    "Reporter",
    "SlotFreed",
]
