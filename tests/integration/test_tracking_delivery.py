"""Payloads through the real deliverer into a real MLflow database, which is then read directly.

One deliverer and one database serve the whole module: making them takes seconds.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_tracking import BORN_MS, STUDY, Desk, desk, metric, study_payload, study_uid, trial_payload

pytestmark = pytest.mark.slow

ODD_PARAMS = {"lightgbm.num_leaves": "31", "a b:c/d-e_f.g": "kept", "què?": "1", "què!": "2", "../up": "3", "": "4"}
CURVE_POINTS = 2300
END_MS = BORN_MS + 9


def payloads() -> list[dict[str, Any]]:
    """Everything that may come, in an order that tests the parent's stub: trials before their study."""
    curve = [metric("curve_valid", step / 10, step, BORN_MS + 3) for step in range(CURVE_POINTS)]
    huge = [metric("huge", -1.7e308, 0, BORN_MS), metric("tiny", 5e-324, 0, BORN_MS)]
    totals = [metric("trials_complete", 9.0, 0, END_MS)]
    refused = [metric("fine", 1.0, 0, BORN_MS), metric("bad clock", 1.0, 0, -5)]
    return [
        trial_payload(0),
        trial_payload(1, metrics=curve),
        trial_payload(2, params=ODD_PARAMS, metrics=[*huge, metric("què?", 1.0, 0, BORN_MS)]),
        trial_payload(3, params={f"p{n}": "x" * 7000 for n in range(150)}, run_name="n" * 600),
        trial_payload(4, status="FAILED", tags={"autoopt.reason": "crash: " + "why " * 4000}),
        trial_payload(5, status="KILLED", tags={f"t{n}": str(n) for n in range(130)}, metrics=[]),
        trial_payload(6, params={}, tags={}, metrics=[]),
        trial_payload(7, params={"a": "1"}),
        trial_payload(7, params={"a": "changed", "b": "new"}, status="FAILED"),
        trial_payload(8, metrics=refused),
        trial_payload(9, experiment=""),
        study_payload(),
        trial_payload(10),
        study_payload(params={}, tags={}, metrics=totals, status="FINISHED", end_ms=END_MS),
    ]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    before = Path.cwd()
    os.chdir(elsewhere)
    try:
        with desk(home) as made:
            made.deliver(payloads())
            yield made
    finally:
        os.chdir(before)


def trial(desk: Desk, number: int) -> dict[str, Any]:
    return desk.mlflow().run(f"{study_uid()}/{number}")


def test_each_run_is_there_once_below_its_study(delivered: Desk) -> None:
    study = delivered.mlflow().run(study_uid())
    assert study["parent"] is None
    for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10):
        assert trial(delivered, number)["parent"] == study["id"]
    assert len(delivered.mlflow().uids()) == 11


def test_a_study_that_arrives_after_its_trials_is_complete(delivered: Desk) -> None:
    study = delivered.mlflow().run(study_uid())
    assert study["name"] == STUDY
    assert study["start_ms"] == BORN_MS
    assert study["params"] == {"data": "demo:iris", "seed": "0"}
    assert study["tags"]["autoopt.source"] == "demo:iris"
    assert (study["status"], study["end_ms"]) == ("FINISHED", END_MS)
    assert study["metrics"] == [("trials_complete", 0, 9.0, END_MS)]


def test_a_trial_arrives_with_params_measures_steps_and_times(delivered: Desk) -> None:
    run, sent = trial(delivered, 0), trial_payload(0)
    assert run["name"] == "trial 0: lightgbm"
    assert (run["status"], run["start_ms"], run["end_ms"]) == ("FINISHED", sent["start_ms"], sent["end_ms"])
    assert run["params"] == sent["params"]
    assert sent["tags"].items() <= run["tags"].items()
    assert run["metrics"] == sorted((m["key"], m["step"], m["value"], m["timestamp_ms"]) for m in sent["metrics"])


def test_more_points_than_a_call_takes_all_arrive(delivered: Desk) -> None:
    curve = trial(delivered, 1)["metrics"]
    assert [(step, value) for _, step, value, _ in curve] == [(s, s / 10) for s in range(CURVE_POINTS)]


def test_odd_names_arrive_under_allowed_ones_and_none_is_lost(delivered: Desk) -> None:
    params = trial(delivered, 2)["params"]
    assert params["lightgbm.num_leaves"] == "31"
    assert params["a b:c/d-e_f.g"] == "kept"
    assert sorted(params.values()) == sorted(ODD_PARAMS.values())


def test_the_largest_and_the_smallest_figures_arrive_as_they_are(delivered: Desk) -> None:
    found = {key: value for key, _, value, _ in trial(delivered, 2)["metrics"]}
    assert (found["huge"], found["tiny"]) == (-1.7e308, 5e-324)


def test_long_values_are_cut_and_say_so(delivered: Desk) -> None:
    run = trial(delivered, 3)
    assert len(run["params"]) == 150
    assert {(len(v), v[-1]) for v in run["params"].values()} == {(6000, "…")}
    assert (len(run["name"]), run["name"][-1]) == (250, "…")
    reason = trial(delivered, 4)["tags"]["autoopt.reason"]
    assert reason.startswith("crash: why")
    assert (len(reason), reason[-1]) == (5000, "…")


def test_status_and_reasons_arrive(delivered: Desk) -> None:
    assert trial(delivered, 4)["status"] == "FAILED"
    assert trial(delivered, 5)["status"] == "KILLED"
    assert {f"t{n}" for n in range(130)} <= set(trial(delivered, 5)["tags"])
    assert trial(delivered, 6)["status"] == "FINISHED"


def test_of_a_payload_that_is_refused_in_part_the_rest_arrives(delivered: Desk) -> None:
    changed = trial(delivered, 7)
    assert changed["params"] == {"a": "1", "b": "new"}
    assert changed["status"] == "FAILED"
    assert trial(delivered, 8)["params"] == trial_payload(8)["params"]
    assert "left out" in delivered.log.read_text()


def test_what_is_refused_whole_is_told_and_blocks_nothing(delivered: Desk) -> None:
    assert f"given up: {study_uid()}/9" in delivered.log.read_text()
    assert trial(delivered, 10)["status"] == "FINISHED"
    assert delivered.pending() == 0


def test_nothing_is_written_where_the_search_was_started(delivered: Desk) -> None:
    assert list(Path.cwd().iterdir()) == []
    assert {p.name for p in delivered.home.iterdir()} <= {
        *("autoopt.db", "autoopt.db-wal", "autoopt.db-shm", "autoopt.db.1.lock"),
        *("mlflow.db", "mlflow.db-journal", "mlflow-artifacts", "logs"),
    }
    locations = delivered.mlflow().rows("SELECT artifact_location FROM experiments")
    assert all(x.startswith((delivered.home / "mlflow-artifacts").as_uri()) for (x,) in locations)


# ---- a second session; from here on the database is no longer as the first one left it ----------------------------


def test_the_same_payloads_again_add_nothing(delivered: Desk) -> None:
    before = delivered.mlflow().everything()
    delivered.send_again()
    delivered.deliver()
    assert delivered.mlflow().everything() == before


def test_a_study_made_again_is_another_run_and_a_deleted_run_stops_nobody(delivered: Desk) -> None:
    with contextlib.closing(sqlite3.connect(delivered.mlflow().path, timeout=30)) as connection:
        query = "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?"
        connection.execute(query, (trial(delivered, 6)["id"],))
        connection.commit()
    uid = f"{STUDY}@2026-04-01T10:00:00+00:00"
    again = [study_payload(uid=uid), trial_payload(0, uid=f"{uid}/0", parent_uid=uid)]
    delivered.deliver([trial_payload(6), trial_payload(11), *again])
    assert trial(delivered, 11)["status"] == "FINISHED"
    assert delivered.mlflow().uids().count(f"{study_uid()}/6") == 2, "made again, since it was not in sight"
    assert delivered.mlflow().run(uid)["id"] != delivered.mlflow().run(study_uid())["id"]
    assert delivered.mlflow().rows("SELECT name FROM experiments ORDER BY name") == [("Default",), (STUDY,)]
