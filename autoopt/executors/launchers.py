"""How an attempt's process comes to be: a copy of a server that has imported everything, or a new interpreter."""

import sys
from abc import ABC, abstractmethod
from typing import final


class Launcher(ABC):
    """A way to start attempts. Both go through one server process, which ends what they leave behind."""

    @property
    @abstractmethod
    def fresh(self) -> bool:
        """True when each attempt gets a new interpreter, and importing ahead is of no use."""


@final
class ForkServer(Launcher):
    """Fork a clean, warm server: milliseconds an attempt."""

    @property
    def fresh(self) -> bool:
        return False


@final
class FreshProcess(Launcher):
    """Start a new interpreter: seconds of imports an attempt, nothing shared with others."""

    @property
    def fresh(self) -> bool:
        return True


def default_launcher() -> Launcher:
    """The fork server where a fork after importing numerical libraries is safe, as it is not on macOS."""
    return FreshProcess() if sys.platform == "darwin" else ForkServer()
