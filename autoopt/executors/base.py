"""What an executor promises, whatever it runs attempts on.

An executor is handed jobs and gives back events. It knows no recipe, no study and no database; the entry point is a
name, so that nothing of the floors above is imported here.

Promises, checked by tests/contracts for every executor:
* every submitted token ends in exactly one `Finished` or `Failed`, after its `Progress` events, in their order;
* a death is reported when the pipe ends, not after a time-out; a hang after `progress_deadline_s` without progress;
* when an attempt has ended, its whole process group has ended;
* a job with `peers` is a gang: a process on each of its slots, ended together; its failure names the rank, its result
  and its progress are the first one's. The silence of the others is no hang: they wait for the first one;
* after `close()` nothing is left: no process, no file descriptor, no temporary folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self

from autoopt.values import FailureReason, Slot

GANG: Final = "gang"
"""Where the payload of a gang's process says which of its ranks it is."""


class Reporter(Protocol):
    """What an entry point gets to tell how far it is. Each call also moves the progress deadline."""

    def __call__(self, stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None: ...


EntryPoint = Callable[[Mapping[str, Any], Slot, Reporter], dict[str, Any]]
"""`run(payload, slot, report) -> result`; payload and result are JSON. StageFailure tells a candidate's own failure."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt to run: `entry` is 'package.module:function', of type EntryPoint.

    With `peers` the entry point runs on each slot, and finds its `Rank` as JSON under GANG in its payload.
    """

    token: str
    entry: str
    payload: Mapping[str, Any]
    slot: Slot
    peers: tuple[Slot, ...] = ()
    progress_deadline_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The attempt got somewhere."""

    token: str
    stage: str
    step: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SlotFreed:
    """A peer of the attempt has returned before it: its slot may be used again."""

    token: str
    slot: Slot


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The entry point returned."""

    token: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The attempt ended without a result. `detail` is for `--debug`: a traceback or the end of its stderr."""

    token: str
    reason: FailureReason
    message: str
    detail: str = ""
    cancelled: bool = False  # ended because `cancel` was called: no fault of the candidate


Event = Progress | SlotFreed | Finished | Failed


class Executor(ABC):
    """Runs attempts on slots. Use as a context manager: leaving it ends everything."""

    @property
    @abstractmethod
    def slots(self) -> Sequence[Slot]:
        """The slots that jobs may name; one job a slot at a time."""

    @abstractmethod
    def start(self) -> None:
        """Get ready in the background; returns at once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start the job on its slot, or on all its slots. Raises ValueError when one of them is taken."""

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Event]:
        """Events that have come, waiting at most `timeout_s` for the first."""

    @abstractmethod
    def cancel(self, token: str) -> None:
        """End an attempt; its `Failed(cancelled=True)` follows unless it had finished. Unknown tokens are ignored."""

    @abstractmethod
    def close(self) -> None:
        """End every attempt and whatever the executor started. May be called twice."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
