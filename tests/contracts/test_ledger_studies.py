"""What a ledger promises about studies, on every database."""

import pytest
from sqlalchemy import create_engine, text
from support_ledger import DONE, SHA

from autoopt.errors import OptionError, StudyBusy, StudyExists, StudyNotFound
from autoopt.ledger import Ledger, RungRow, Totals
from autoopt.values import Budget, StudyState

pytest_plugins = ["support_ledger_fixtures"]


def test_a_study_is_kept_across_openings(database_url: str) -> None:
    spec = {"target": "income", "limits": ["latency_ms<=1"], "nested": {"ß": [1, 2.5, None, True]}}
    with Ledger.open(database_url, create=True) as ledger:
        made = ledger.create_study("adult", spec, Budget(seconds=300.0))
    with Ledger.open(database_url, create=False) as ledger:
        assert ledger.study("adult") == made
        assert made.spec == spec
        assert (made.state, made.note, made.spent_s, made.epoch, made.owner) == (StudyState.OPEN, "", 0.0, 0, None)
        assert made.budget == Budget(seconds=300.0, trials=None)
        assert made.created_at.endswith("+00:00")


def test_studies_come_oldest_first(ledger: Ledger) -> None:
    ledger.create_study("a", {}, Budget(trials=1))
    assert [s.name for s in ledger.studies()] == ["s", "a"]


def test_a_taken_name_is_refused_naming_resume(ledger: Ledger) -> None:
    with pytest.raises(StudyExists, match="autoopt resume s"):
        ledger.create_study("s", {}, Budget(trials=1))
    assert ledger.study("s").spec == {"seed": 7}


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65, "a\x00b", "-x"])
def test_a_name_that_could_leave_its_place_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(OptionError, match="cannot be used as a name"):
        ledger.create_study(name, {}, Budget(trials=1))


def test_an_unknown_name_is_told_with_those_that_are_there(ledger: Ledger) -> None:
    for call in (ledger.study, ledger.trials, ledger.totals, ledger.exports, ledger.attempts, ledger.delete_study):
        with pytest.raises(StudyNotFound, match=r"'nobody'.*Studies there: s\."):
            call("nobody")
    with pytest.raises(StudyNotFound), ledger.own("nobody"):
        pass


def test_a_new_study_has_nothing(ledger: Ledger) -> None:
    assert ledger.trials("s") == []
    assert ledger.attempts("s") == []
    assert ledger.exports("s") == []
    assert ledger.totals("s") == Totals()
    assert ledger.totals("s").counted == 0
    assert ledger.referenced_artifacts() == frozenset()


def test_deleting_takes_every_row_of_the_study_and_of_no_other(ledger: Ledger) -> None:
    ledger.create_study("other", {}, Budget(trials=1))
    for name in ("s", "other"):
        with ledger.own(name) as writer:
            writer.record_trial(0, {"x": 1}, SHA, "planner")
            token = writer.start_attempt(0, 0)
            writer.record_steps(token, [(1, "loss", 0.5)])
            writer.record_rung(RungRow(number=0, share=1 / 3, known={"quality": 0.5}))
            writer.finish_trial(token, 0, DONE, [{"kind": "trial"}])
            writer.record_final_measures({0: DONE.measures})
            writer.record_export(0, "float", "model.onnx", SHA, None)
    before = ledger.trials("other"), ledger.attempts("other"), ledger.exports("other"), ledger.steps("other", 0)
    rows = _row_counts(ledger.url)
    ledger.delete_study("s")
    assert [s.name for s in ledger.studies()] == ["other"]
    assert before == (
        ledger.trials("other"),
        ledger.attempts("other"),
        ledger.exports("other"),
        ledger.steps("other", 0),
    )
    assert _row_counts(ledger.url) == {table: count // 2 for table, count in rows.items()}


def test_a_study_that_is_owned_cannot_be_deleted(ledger: Ledger) -> None:
    with ledger.own("s"), pytest.raises(StudyBusy):
        ledger.delete_study("s")
    assert ledger.study("s").name == "s"


def test_a_deleted_study_s_number_is_not_given_again(ledger: Ledger) -> None:
    first = ledger.study("s").id
    ledger.delete_study("s")
    assert ledger.create_study("s", {}, Budget(trials=1)).id > first


def _row_counts(url: str) -> dict[str, int]:
    tables = ("studies", "trials", "attempts", "steps", "measures", "exports", "outbox")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return {t: connection.execute(text(f"SELECT count(*) FROM ao_{t}")).scalar_one() for t in tables}
    finally:
        engine.dispose()
