"""What a runtime is to autoopt: whether it is here, what it can be told, and a graph made ready by it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner


class Engine(ABC):
    """A runtime. Its library is imported by `load` alone, so that one that is absent costs nothing."""

    name: ClassVar[str]
    """What `--targets` and a manifest call it."""
    distribution: ClassVar[str]
    """The package that brings it."""
    install: ClassVar[str]
    """The line that installs it."""
    device: ClassVar[str] = "cpu"
    """The kind of device that it runs on."""
    unasked: ClassVar[bool] = True
    """Whether it is tried where no `--targets` were given."""
    load_s: ClassVar[float] = 0.0
    """What loading its library and a small graph is likely to take: it is not tried with less."""

    @property
    def version(self) -> str | None:
        """Of its package; None where that is not installed."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None

    @property
    def absence(self) -> str:
        """Why it cannot run anything here, with the line that mends it; '' where it can."""
        return "" if self.version else f"{self.name} is not installed: {self.install}"

    @abstractmethod
    def options(self, cores: int) -> Mapping[str, tuple[Any, ...]]:
        """Fields of Serving that change how it runs, with the values worth trying, the usual one first."""

    @abstractmethod
    def load(self, content: bytes, serving: Serving, *, where: str = "the graph") -> Runner:
        """A graph, ready. Raises BundleError where the runtime is absent or cannot run this graph."""


def thread_counts(cores: int) -> tuple[int, ...]:
    """One, two, four ... and all."""
    return tuple(sorted({1, cores, *(1 << i for i in range(cores.bit_length()) if 1 << i < cores)}))
