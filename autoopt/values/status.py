"""States of studies, trials and attempts, and why an attempt can fail."""

from enum import StrEnum


class TrialState(StrEnum):
    """Where a trial stands. The four counted states are the ones a budget of trials is spent on."""

    RUNNING = "running"  # a recipe is recorded and owes a result
    COMPLETE = "complete"
    PRUNED = "pruned"  # stopped at a rung: others were clearly better there
    INFEASIBLE = "infeasible"  # breaks a limit: found before training, or measured after it
    FAILED = "failed"  # every attempt failed; the reason is kept
    STOPPED = "stopped"  # ended by the budget or the user before it had a result; its recipe is tried again on resume
    DUPLICATE = "duplicate"  # same recipe as an earlier trial: answered from the ledger, costs nothing

    @property
    def counts(self) -> bool:
        """True for the states that use up one trial of the budget."""
        return self in COUNTED


COUNTED = frozenset({TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED})


class StudyState(StrEnum):
    """Where a study stands."""

    OPEN = "open"  # made, or interrupted: `resume` goes on
    FINISHED = "finished"  # its budget is spent
    EXHAUSTED = "exhausted"  # the space holds nothing new


class AttemptState(StrEnum):
    """Where one try at a trial stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"  # ended on purpose: pruned, budget over, user stopped
    LOST = "lost"  # its orchestrator died; found at recovery


class FailureReason(StrEnum):
    """Why an attempt failed, in words a user can act on."""

    ERROR = "error"  # the candidate raised
    NOT_FINITE = "not_finite"  # loss or predictions became NaN or infinite
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"  # the process died: signal or exit code without a result
    HUNG = "hung"  # no progress within the deadline
    NO_TIME = "no_time"  # what is left of the search is not enough for it: with more time it may be
    PEER_LOST = "peer_lost"  # another process of the same training is gone, and is what failed
    PARITY = "parity"  # the exported graph does not compute what the trained model computes

    @property
    def may_pass(self) -> bool:
        """True when a second attempt can end differently, because the cause was outside the recipe."""
        return self in {FailureReason.CRASHED, FailureReason.HUNG}
