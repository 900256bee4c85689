"""What the orchestrator's loop rests on: every query finds its rows by an index. Plans, not times: those are noisy."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, make_url, text
from support_ledger import DONE, SHA

from autoopt.ledger import Ledger
from autoopt.values import AttemptState, Budget


@pytest.fixture
def scans(tmp_path: Path) -> list[str]:
    """Statements of a trial's life that read a whole table."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    said: list[tuple[str, object]] = []
    with Ledger.open(url, create=True) as ledger:
        ledger.create_study("s", {}, Budget(trials=1))
        event.listen(
            ledger._database.engine,
            "before_cursor_execute",
            lambda _conn, _cursor, statement, parameters, _context, many: said.append(
                (statement, parameters[0] if many else parameters)
            ),
        )
        with ledger.own("s") as writer:
            writer.recover()
            writer.record_trial(0, {}, SHA, "planner")
            writer.finish_attempt(writer.start_attempt(0, 0), AttemptState.FAILED)
            token = writer.start_attempt(0, 0)
            writer.record_steps(token, [(0, "loss", 0.5)])
            writer.finish_trial(token, 0, DONE, [{"n": 0}])
            writer.add_spent(1.0)
            writer.mark_delivered([r.id for r in writer.pending_outbox(5)])
            ledger.totals("s")
            ledger.steps("s", 0)
            writer.test_looks()
    engine = create_engine(make_url(url))
    found: list[str] = []
    with engine.connect() as connection:
        for statement, parameters in said:
            if statement.startswith(("SELECT", "UPDATE")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                found.extend(f"{row[-1]}: {statement}" for row in plan if str(row[-1]).startswith("SCAN ao_"))
        assert connection.execute(text("SELECT count(*) FROM ao_trials")).scalar() == 1
    engine.dispose()
    assert len(said) > 30
    return found


def test_no_step_of_a_trial_s_life_reads_a_whole_table(scans: list[str]) -> None:
    assert scans == []
