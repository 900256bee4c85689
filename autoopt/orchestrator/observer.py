"""What the loop tells whoever watches: a terminal, a notebook, a test."""

from dataclasses import dataclass
from typing import Protocol

from autoopt.ledger import TrialRow


@dataclass(frozen=True, kw_only=True)
class SlotView:
    """What a slot is doing now."""

    slot: int
    trial: int | None = None
    model: str = ""
    stage: str = ""
    step: int | None = None


class Observer(Protocol):
    """Receives what happens, in order, in the loop's own thread; must return at once."""

    def trial_started(self, number: int, slot: int, model: str, attempt: int) -> None: ...

    def trial_ended(self, trial: TrialRow) -> None: ...

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None: ...

    def phase(self, text: str) -> None:
        """A step outside the trials began: measuring again, verifying, exporting."""


class Silent:
    """Watches nothing."""

    def trial_started(self, number: int, slot: int, model: str, attempt: int) -> None:
        """Ignored."""

    def trial_ended(self, trial: TrialRow) -> None:
        """Ignored."""

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Ignored."""

    def phase(self, text: str) -> None:
        """Ignored."""
