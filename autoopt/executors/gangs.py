"""Jobs on several slots: a process for each, told of as one attempt, all or nothing.

Rank 0 leads: it runs on the job's own slot under the job's token, and what it reports and returns is the attempt's. A
rank that returns before it gives its slot back. When one fails, the others get a moment to say what they know of it,
and are ended; once the leader has returned, the others are not waited for.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

from autoopt.executors.base import GANG, Event, Failed, Finished, Job, Progress, SlotFreed
from autoopt.values import FailureReason, Rank

LEADER: Final = 0
GRACE_S: Final = 1.0
"""Between a rank's failure and the end of the others. Who lost a peer tells so at once; whose death it was comes from
the system, now and then a little later."""


@dataclass(kw_only=True)
class _Gang:
    job: Job
    jobs: tuple[Job, ...]  # by rank
    folder: tempfile.TemporaryDirectory[str]
    endings: dict[int, Finished | Failed] = field(default_factory=dict)  # by rank, in the order of time
    end_s: float = math.inf  # when what is left of it is to be ended
    cancelled: bool = False

    @property
    def at_work(self) -> list[str]:
        """Tokens of the ranks that have not ended."""
        return [job.token for number, job in enumerate(self.jobs) if number not in self.endings]

    @property
    def ending(self) -> Event:
        """What it came to, once every rank has ended. A result that came in time wins over whatever happened."""
        leader, token = self.endings[LEADER], self.job.token
        if isinstance(leader, Finished):
            return leader
        if self.cancelled:
            return replace(leader, reason=FailureReason.ERROR, message="cancelled", cancelled=True)
        failures = [(n, e) for n, e in self.endings.items() if isinstance(e, Failed) and not e.cancelled]
        blamed = [(n, e) for n, e in failures if e.reason is not FailureReason.PEER_LOST]
        number, first = (blamed or failures)[0]
        lost = first.reason is FailureReason.PEER_LOST
        reason = FailureReason.CRASHED if lost else first.reason
        return replace(first, token=token, reason=reason, message=f"rank {number}: {first.message}")


@final
class Gangs:
    """The gangs at work: what is to be started for a job, and what is told of the events of its ranks."""

    def __init__(self) -> None:
        self._gangs: dict[str, _Gang] = {}  # by the token of each rank that has not ended

    def ranks(self, job: Job) -> tuple[Job, ...]:
        """What to start, one job for each slot: the job itself where it has one."""
        if not job.peers:
            return (job,)
        folder = tempfile.TemporaryDirectory(prefix="autoopt-gang-")
        slots = (job.slot, *job.peers)
        jobs = []
        for number, slot in enumerate(slots):
            rank = Rank(number=number, size=len(slots), folder=folder.name)
            own = replace(job, slot=slot, peers=(), payload={**job.payload, GANG: rank.to_json()})
            if number != LEADER:
                own = replace(own, token=f"{job.token}.rank{number}", progress_deadline_s=math.inf)
            jobs.append(own)
        gang = _Gang(job=job, jobs=tuple(jobs), folder=folder)
        self._gangs |= dict.fromkeys((own.token for own in jobs), gang)
        return gang.jobs

    def sift(self, events: Sequence[Event], now_s: float) -> list[Event]:
        """What is told of the events of single processes."""
        return [told for event in events for told in self._told(event, now_s)]

    def _told(self, event: Event, now_s: float) -> list[Event]:
        gang = self._gangs.get(event.token)
        if gang is None or isinstance(event, SlotFreed):
            return [event]
        number = [job.token for job in gang.jobs].index(event.token)
        if isinstance(event, Progress):
            return [event] if number == LEADER else []
        gang.endings[number] = event
        del self._gangs[event.token]
        if not gang.at_work:
            gang.folder.cleanup()
            return [gang.ending]
        if isinstance(event, Finished) and number != LEADER:
            return [SlotFreed(token=gang.job.token, slot=gang.jobs[number].slot)]
        gang.end_s = min(gang.end_s, now_s + (GRACE_S if isinstance(event, Failed) else 0.0))
        return []

    def due(self, now_s: float) -> list[str]:
        """Tokens of the ranks that are to be ended now; each is told once."""
        found = {id(gang): gang for gang in self._gangs.values() if gang.end_s <= now_s}
        for gang in found.values():
            gang.end_s = math.inf
        return [token for gang in found.values() for token in gang.at_work]

    @property
    def until_s(self) -> float:
        """When the next one is due."""
        return min((gang.end_s for gang in self._gangs.values()), default=math.inf)

    def cancel(self, token: str) -> list[str]:
        """Tokens of what is to be ended when `token` is cancelled: its ranks, or itself alone."""
        gang = self._gangs.get(token)
        if gang is None:
            # A leader may have ended before its followers; their attempt is still the one that was cancelled.
            gang = next((g for g in self._gangs.values() if g.job.token == token), None)
        if gang is None:
            return [token]
        gang.cancelled = True
        return gang.at_work

    def close(self) -> None:
        """Forget them all; their processes have been ended."""
        for gang in {id(gang): gang for gang in self._gangs.values()}.values():
            gang.folder.cleanup()
        self._gangs.clear()
