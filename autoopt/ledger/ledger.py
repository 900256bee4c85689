"""The ledger: studies by name, everything that can be read, and the way to a writer."""

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar, final

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from autoopt.errors import LedgerError, StudyBusy, StudyExists, StudyNotFound
from autoopt.files import check_study_name
from autoopt.ledger import queries
from autoopt.ledger.database import Database
from autoopt.ledger.engines import checked_url
from autoopt.ledger.migrations import prepare
from autoopt.ledger.ownership import OwnerLock, owner_lock
from autoopt.ledger.rows import AttemptRow, ExportRow, RungRow, StepRow, StudyRow, Totals, TrialRow
from autoopt.ledger.schema import attempts, exports, measures, outbox, rungs, steps, studies, trials, verdicts
from autoopt.ledger.writer import StudyWriter
from autoopt.values import Budget, StudyState

T = TypeVar("T")


@final
class Ledger:
    """One database with studies. Reading needs no ownership and may happen while others write.

    Any method may raise LedgerUnavailable; those that take a study's name raise StudyNotFound.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, *, create: bool, patience_s: float = 30.0) -> Self:
        """Open the database at `url`, making it first when `create` is set and there is none.

        A transaction that meets a lock or loses its connection is tried again for about `patience_s`.
        Raises OptionError for a URL that is no SQLite file or PostgreSQL database, StudyNotFound when there is no
        database and none is to be made, SchemaMismatch when its schema is another version's, and LedgerUnavailable.
        """
        database = Database(checked_url(url), patience_s=patience_s)
        try:
            prepare(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def url(self) -> str:
        """The whole URL, password included, with an absolute path: what Optuna is given."""
        return self._database.url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close every connection. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create_study(self, name: str, spec: Mapping[str, Any], budget: Budget) -> StudyRow:
        """Add an open study with nothing spent. Raises OptionError for a bad name and StudyExists."""
        check_study_name(name)
        mark = secrets.token_hex(8)
        values = {
            "name": name,
            "spec": dict(spec),
            "state": StudyState.OPEN,
            "note": "",
            "budget_seconds": budget.seconds,
            "budget_trials": budget.trials,
            "spent_s": 0.0,
            "epoch": 0,
            "last_write": mark,
            "created_at": datetime.now(UTC).isoformat(),
        }

        def work(connection: Connection) -> None:
            there = queries.find_study(connection, name)
            if there is None:
                connection.execute(insert(studies).values(values))
            elif there["last_write"] != mark:  # ours: the answer to an earlier commit was lost
                raise _exists(name)

        self._database.write(_refusing_twins(work, name))
        return self.study(name)

    def study(self, name: str) -> StudyRow:
        """A study by name."""
        row = self._find(name)
        return queries.study_row(row, self._owner(row))

    def studies(self) -> list[StudyRow]:
        """Every study, oldest first."""
        return [queries.study_row(row, self._owner(row)) for row in self._database.read(queries.all_studies)]

    def trials(self, name: str) -> list[TrialRow]:
        """A study's trials by number."""
        return self._read_study(name, queries.trial_rows)

    def trial(self, name: str, number: int) -> TrialRow:
        """One trial. Raises StudyNotFound when the study has no trial of that number."""
        found = self._read_study(name, lambda connection, study_id: queries.trial_row(connection, study_id, number))
        if found is None:
            raise StudyNotFound(f"Study {name!r} has no trial {number}.")
        return found

    def attempts(self, name: str) -> list[AttemptRow]:
        """Every attempt of a study, by trial and order."""
        return self._read_study(name, queries.attempt_rows)

    def steps(self, name: str, number: int) -> list[StepRow]:
        """Learning curves of one trial."""
        return self._read_study(name, lambda connection, study_id: queries.step_rows(connection, study_id, number))

    def rungs(self, name: str) -> list[RungRow]:
        """What each training of a study had at its rungs, in the order in which they were reached."""
        return self._read_study(name, queries.rung_rows)

    def exports(self, name: str) -> list[ExportRow]:
        """A study's exports, oldest first."""
        return self._read_study(name, queries.export_rows)

    def totals(self, name: str) -> Totals:
        """How many of a study's trials stand where."""
        return self._read_study(name, queries.totals)

    def referenced_artifacts(self) -> frozenset[tuple[str, str]]:
        """(stage, key) of every store entry that a trial or an export of any study needs."""
        return self._database.read(queries.referenced_artifacts)

    def delete_study(self, name: str) -> None:
        """Remove a study and all its rows. Raises StudyBusy while somebody runs it."""
        lock, study_id = self._lock(name)
        try:
            self._database.write(lambda connection: _delete(connection, study_id))
            lock.discard()
        finally:
            lock.release()

    @contextlib.contextmanager
    def own(self, name: str) -> Iterator[StudyWriter]:
        """Hold the right to write a study, fencing every earlier owner. Raises StudyBusy with the owner's pid."""
        lock, study_id = self._lock(name)
        try:
            epoch = self._database.write(lambda connection: _take_over(connection, study_id, name))
            writer = StudyWriter(self._database, study_id=study_id, name=name, epoch=epoch)
            try:
                yield writer
            finally:
                with contextlib.suppress(LedgerError):  # the lock's end is what frees the study
                    writer.leave()
        finally:
            lock.release()

    def _lock(self, name: str) -> tuple[OwnerLock, int]:
        row = self._find(name)
        lock = owner_lock(self._database, row["id"])
        if lock.acquire():
            return lock, int(row["id"])
        now = self._find(name)  # the owner may have written its pid since
        who = f"process {now['owner_pid']} on {now['owner_host']}" if now["owner_pid"] else "another process"
        raise StudyBusy(f"Study {name!r} is being run by {who}. Wait until it ends, or stop it there with Ctrl-C.")

    def _owner(self, row: RowMapping) -> int | None:
        pid: int | None = row["owner_pid"]
        return pid if pid is not None and owner_lock(self._database, row["id"]).is_held() else None

    def _find(self, name: str) -> RowMapping:
        def work(connection: Connection) -> RowMapping:
            row = queries.find_study(connection, name)
            if row is None:
                raise _not_found(name, self._database.shown, [r["name"] for r in queries.all_studies(connection)])
            return row

        return self._database.read(work)

    def _read_study(self, name: str, work: Callable[[Connection, int], T]) -> T:
        """`work` on the study's id, in one transaction with the look-up."""
        query = select(studies.c.id).where(studies.c.name == name)

        def both(connection: Connection) -> T | None:
            study_id = connection.execute(query).scalar()
            return None if study_id is None else work(connection, study_id)

        found = self._database.read(both)
        if found is None:
            self._find(name)  # raises, naming the studies that are there
            raise StudyNotFound(f"Study {name!r} was removed a moment ago.")
        return found


def _refusing_twins(work: Callable[[Connection], None], name: str) -> Callable[[Connection], None]:
    """PostgreSQL lets two look at once and refuses the second insert."""

    def refusing(connection: Connection) -> None:
        try:
            work(connection)
        except IntegrityError as error:
            raise _exists(name) from error

    return refusing


def _exists(name: str) -> StudyExists:
    return StudyExists(
        f"A study named {name!r} is there already. Go on with it: autoopt resume {name}; or give --study another name."
    )


def _not_found(name: str, where: str, there: list[str]) -> StudyNotFound:
    shown = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
    return StudyNotFound(f"No study is named {name!r} in {where}. Studies there: {shown or 'none'}.")


def _take_over(connection: Connection, study_id: int, name: str) -> int:
    query = (
        update(studies)
        .where(studies.c.id == study_id)
        .values(epoch=studies.c.epoch + 1, owner_pid=os.getpid(), owner_host=socket.gethostname())
        .returning(studies.c.epoch)
    )
    epoch: int | None = connection.execute(query).scalar()
    if epoch is None:
        raise StudyNotFound(f"Study {name!r} was removed a moment ago.")
    return epoch


def _delete(connection: Connection, study_id: int) -> None:
    own_attempts = select(attempts.c.id).where(attempts.c.study_id == study_id)
    connection.execute(delete(steps).where(steps.c.attempt_id.in_(own_attempts)))
    for table in (attempts, measures, rungs, verdicts, exports, outbox, trials):
        connection.execute(delete(table).where(table.c.study_id == study_id))
    connection.execute(delete(studies).where(studies.c.id == study_id))
