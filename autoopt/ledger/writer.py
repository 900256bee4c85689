"""The one writer of a study. Each call is one transaction that first checks the epoch."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, final

from sqlalchemy import Connection, select, update

from autoopt.errors import OwnershipLost
from autoopt.ledger import queries, records
from autoopt.ledger.database import Database
from autoopt.ledger.rows import ExportRow, OutboxRow, RungRow, Source, TrialOutcome, TrialRow
from autoopt.ledger.schema import studies
from autoopt.values import AttemptState, Budget, Measurement, Measures, StudyState, TrialState

T = TypeVar("T")


@final
class StudyWriter:
    """Writes a study while its lock is held; got from `Ledger.own`. Safe for several threads of the owner.

    Any method may raise LedgerUnavailable (nothing was written) and OwnershipLost (stop at once). ValueError tells of a
    call that makes no sense, such as a trial that was never recorded.

    The database's answer to a commit can be lost with the connection. Each transaction therefore leaves a mark of its
    own in the study's row, and a second try that finds it knows that the first went through.
    """

    def __init__(self, database: Database, *, study_id: int, name: str, epoch: int) -> None:
        self._database = database
        self._left = False
        self.study_id = study_id
        self.name = name
        self.epoch = epoch

    def recover(self) -> list[TrialRow]:
        """Call first. Attempts that a dead owner left running become lost; returns the trials that owe a result."""

        def work(connection: Connection) -> list[TrialRow]:
            records.lose_attempts(connection, self.study_id)
            return queries.trial_rows(connection, self.study_id, state=TrialState.RUNNING)

        return self._write(work)

    def add_spent(self, seconds: float) -> None:
        """Add to the wall seconds that the study has used."""
        query = update(studies).where(studies.c.id == self.study_id).values(spent_s=studies.c.spent_s + seconds)
        self._write(lambda connection: connection.execute(query) and None)

    def extend_budget(self, more: Budget) -> None:
        """Add seconds and trials to the budget, by the rule of `Budget.extended`."""

        def work(connection: Connection) -> None:
            mine = studies.c.id == self.study_id
            row = connection.execute(select(studies).where(mine)).mappings().one()
            counted = queries.totals(connection, self.study_id).counted
            budget = Budget(seconds=row["budget_seconds"], trials=row["budget_trials"])
            new = budget.extended(more, spent_s=row["spent_s"], counted=counted)
            changed = {"budget_seconds": new.seconds, "budget_trials": new.trials}
            connection.execute(update(studies).where(mine).values(changed))

        self._write(work)

    def set_state(self, state: StudyState, note: str = "") -> None:
        """Say where the study stands, with a note for people."""
        query = update(studies).where(studies.c.id == self.study_id).values(state=state, note=note)
        self._write(lambda connection: connection.execute(query) and None)

    def record_trial(self, number: int, recipe: Mapping[str, Any], sha256: str, source: Source) -> None:
        """A trial begins: its recipe is on record and owes a result. The same call again changes nothing."""
        trial = records.new_trial(number, recipe, sha256, source=source, state=TrialState.RUNNING)
        self._write(lambda connection: records.add_trial(connection, self.study_id, trial) and None)

    def start_attempt(self, number: int, slot_index: int) -> str:
        """A try at a running trial begins; returns its token. ValueError while another try at it runs."""
        token = secrets.token_hex(16)
        self._write(lambda connection: records.add_attempt(connection, self.study_id, number, slot_index, token))
        return token

    def record_steps(self, token: str, rows: Sequence[tuple[int, str, float]]) -> bool:
        """Add (step, name, value) points to a running attempt's learning curve; False when the token is stale."""
        return self._write(lambda connection: records.add_steps(connection, self.study_id, token, rows))

    def record_rung(self, rung: RungRow) -> None:
        """A training came to a rung. ValueError for figures that are not finite."""
        self._write(lambda connection: records.add_rung(connection, self.study_id, rung))

    def finish_attempt(
        self,
        token: str,
        state: AttemptState,
        reason: str = "",
        message: str = "",
        detail: str = "",
        seconds: float | None = None,
    ) -> bool:
        """End a running attempt whose trial goes on (another attempt follows); False when the token is stale."""
        said = {"state": state, "reason": reason, "message": message, "detail": detail, "seconds": seconds}
        return self._write(lambda connection: records.end_attempt(connection, self.study_id, token, said))

    def finish_trial(
        self, token: str | None, number: int, outcome: TrialOutcome, outbox: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        """Record a trial's result, whole or not at all: attempt, state, measures, stages and outbox.

        `token` is None when no attempt brings the result (it is given up between two); whatever ran is ended.
        Returns False, and writes nothing, when the token is stale or the trial has its result already.
        """

        def work(connection: Connection) -> bool:
            done = records.end_trial(connection, self.study_id, token, number, outcome)
            if done:
                records.add_outbox(connection, self.study_id, outbox)
            return done

        return self._write(work)

    def record_result(
        self,
        number: int,
        recipe: Mapping[str, Any],
        sha256: str,
        source: Source,
        slot_index: int,
        outcome: TrialOutcome,
        outbox: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """A trial with its result, whole or not at all: for what need not be tried again when its owner dies.

        The same call again changes nothing.
        """
        trial = records.new_trial(number, recipe, sha256, source=source, state=TrialState.RUNNING)
        token = secrets.token_hex(16)

        def work(connection: Connection) -> None:
            if records.add_trial(connection, self.study_id, trial):
                records.add_attempt(connection, self.study_id, number, slot_index, token)
                records.end_trial(connection, self.study_id, token, number, outcome)
                records.add_outbox(connection, self.study_id, outbox)

        self._write(work)

    def record_duplicate(
        self,
        number: int,
        recipe: Mapping[str, Any],
        sha256: str,
        of: int,
        outbox: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """A trial with the recipe of trial `of`: answered from the ledger. The same call again changes nothing."""
        trial = records.new_trial(number, recipe, sha256, source="planner", state=TrialState.DUPLICATE, of=of)

        def work(connection: Connection) -> None:
            if records.add_trial(connection, self.study_id, trial):
                records.add_outbox(connection, self.study_id, outbox)

        self._write(work)

    def record_final_measures(
        self,
        measures: Mapping[int, Measures],
        states: Mapping[int, tuple[TrialState, str]] | None = None,
    ) -> None:
        """Add what the final measuring found; the search's figures stay beside it.

        `states` are verdicts that change with it, {number: (COMPLETE or INFEASIBLE, reason)}; each is kept as a row.
        """

        def work(connection: Connection) -> None:
            for number, found in measures.items():
                records.require_result(connection, self.study_id, number)
                records.add_measures(connection, self.study_id, number, found, queries.FINAL_PASS)
            for number, (state, reason) in (states or {}).items():
                records.change_verdict(connection, self.study_id, number, state, reason)

        self._write(work)

    def record_export(
        self,
        number: int,
        role: str,
        path: str,
        sha256: str,
        test: Measurement | None,
        *,
        artifact_key: str = "",
    ) -> None:
        """An artifact was exported; `test` when it was scored on the test split, which counts as a look."""
        export = ExportRow(
            number=number,
            role=role,
            path=path,
            sha256=sha256,
            artifact_key=artifact_key,
            test=test,
            created_at=records.now(),
        )
        self._write(lambda connection: records.add_export(connection, self.study_id, export))

    def test_looks(self) -> int:
        """How often an exported artifact of this study was scored on the test split."""
        return self._database.read(lambda connection: queries.test_looks(connection, self.study_id))

    def enqueue(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Add to what MLflow is to be told."""
        self._write(lambda connection: records.add_outbox(connection, self.study_id, payloads))

    def pending_outbox(self, limit: int) -> list[OutboxRow]:
        """What MLflow has yet to be told, oldest first."""
        return self._database.read(lambda connection: queries.pending_outbox(connection, self.study_id, limit))

    def mark_delivered(self, ids: Collection[int]) -> None:
        """MLflow was told."""
        self._write(lambda connection: records.mark_delivered(connection, self.study_id, ids))

    def leave(self) -> None:
        """Sign off: the study has no owner, and this writer writes no more. `Ledger.own` calls it."""
        if not self._left:
            query = update(studies).where(studies.c.id == self.study_id).values(owner_pid=None, owner_host=None)
            try:
                self._write(lambda connection: connection.execute(query) and None)
            finally:
                self._left = True

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._left:
            raise OwnershipLost(f"This process has given study {self.name!r} back.")
        mark = secrets.token_hex(8)
        results: list[T] = []

        def transaction(connection: Connection) -> T:
            if results and self._went_through(connection, mark):
                return results[-1]
            self._claim(connection, mark)
            results.append(work(connection))
            return results[-1]

        return self._database.write(transaction)

    def _went_through(self, connection: Connection, mark: str) -> bool:
        query = select(studies.c.last_write).where(studies.c.id == self.study_id)
        return connection.execute(query).scalar() == mark

    def _claim(self, connection: Connection, mark: str) -> None:
        """Check the epoch and hold the study's row, so that nobody takes over before this transaction ends."""
        here = (studies.c.id == self.study_id) & (studies.c.epoch == self.epoch)
        if connection.execute(update(studies).where(here).values(last_write=mark)).rowcount != 1:
            raise OwnershipLost(
                f"Study {self.name!r} was taken over by another process, or removed; nothing more was written here."
            )
