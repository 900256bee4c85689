"""A real search, and what MLflow then has of it: runs, the registered model, the page.

One small search serves the whole module; its data have everything that makes a signature hard: missing numbers and
texts, whole numbers, booleans, odd column names.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from support_postgresql import new_database
from support_tracking import Desk, Mirror, is_gone, study_payload, study_uid, trial_payload, wait_for

from autoopt.app.options import Places
from autoopt.app.tracking import serve_ui
from autoopt.errors import OptionError, StudyError
from autoopt.ledger import Ledger
from autoopt.values import Budget

pytestmark = pytest.mark.slow
pytest_plugins = ["support_ledger_fixtures"]

LOAD = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
info = mlflow.models.get_model_info("models:/hard@best")
model = mlflow.pyfunc.load_model("models:/hard@best")
example = model.input_example
rows = pd.DataFrame({"how much?": [1.5, None], "count": [3, 4], "color": ["red", None], "flag": [True, False]})
print(json.dumps({
    "inputs": info.signature.inputs.input_names(),
    "outputs": [c.name for c in info.signature.outputs],
    "example_rows": len(example),
    "of_example": len(model.predict(example)),
    "of_rows": model.predict(rows.astype({"count": float, "flag": float}))["prediction"].tolist(),
}))
"""


@dataclass(frozen=True)
class Searched:
    home: Path
    elsewhere: Path
    said: dict[str, Any]

    @property
    def mlflow(self) -> Mirror:
        return Mirror(self.home / "mlflow.db")

    def ledger(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.home / "autoopt.db", timeout=30)) as connection:
            found = connection.execute(query).fetchall()
            connection.commit()
            return found


def autoopt(*arguments: str, cwd: Path, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "autoopt", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "AUTOOPT_TRACKING_URI"},
        **options,
    )


def write_data(path: Path) -> Path:
    chance = random.Random(5)
    lines = ["how much?,count,color,flag,label"]
    for n in range(300):
        much = "" if n % 11 == 0 else f"{chance.gauss(n % 2, 0.6):.4f}"
        color = "" if n % 13 == 0 else chance.choice(["red", "green", "blue"])
        lines.append(
            f"{much},{chance.randrange(9)},{color},{chance.choice(['True', 'False'])},{'yes' if n % 2 else 'no'}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    data = write_data(tmp_path_factory.mktemp("data") / "hard.csv")
    process = autoopt(
        *("search", str(data), "--target", "label", "--study", "hard", "--trials", "3", "--json", "--home", str(home)),
        cwd=elsewhere,
    )
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    return Searched(home=home, elsewhere=elsewhere, said=json.loads(out.splitlines()[-1]))


def test_a_search_ends_with_everything_delivered(searched: Searched) -> None:
    assert searched.ledger("SELECT count(*) FROM ao_outbox WHERE delivered_at IS NULL") == [(0,)]
    runs = dict(searched.mlflow.rows("SELECT name, status FROM runs"))
    assert runs.pop("hard") == "FINISHED"
    assert len(runs) == sum(searched.said["trials"].values())
    log = (searched.home / "logs" / "hard" / "tracking.log").read_text()
    assert "given up" not in log
    assert "left out" not in log


def test_the_measures_of_the_ledger_are_the_metrics_of_the_runs(searched: Searched) -> None:
    query = "SELECT number, name, value FROM ao_measures WHERE pass_name = 'search'"
    ours = {(str(number), name): value for number, name, value in searched.ledger(query)}
    query = (
        "SELECT t.value, m.key, m.value FROM metrics m JOIN tags t USING (run_uuid) "
        "WHERE t.key = 'autoopt.trial' AND m.key NOT LIKE 'curve%'"
    )
    assert {(number, key): value for number, key, value in searched.mlflow.rows(query)} == pytest.approx(ours)


def test_the_bundle_is_a_registered_model_that_was_reloaded_and_compared(searched: Searched) -> None:
    mlflow = searched.mlflow
    assert mlflow.rows("SELECT name, alias, version FROM registered_model_aliases") == [("hard", "best", 1)]
    assert mlflow.rows("SELECT status FROM logged_models") == [(2,)]
    assert mlflow.rows("SELECT value FROM tags WHERE key = 'autoopt.reload_parity'") == [("ok",)]
    metrics = dict(mlflow.rows("SELECT metric_name, metric_value FROM logged_model_metrics"))
    assert metrics["float_valid"] == pytest.approx(searched.said["best"]["valid"], abs=0.5)
    stored = Path(mlflow.rows("SELECT artifact_location FROM logged_models")[0][0].removeprefix("file://"))
    bundle = Path(searched.said["bundle"])
    names = sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*"))
    assert sorted(str(p.relative_to(stored)) for p in stored.rglob("*")) == names, "stored as it is, nothing added"


def test_mlflow_itself_loads_it_by_alias_with_signature_and_example(searched: Searched, tmp_path: Path) -> None:
    copy = tmp_path / "mlflow.db"  # loading adds a file of MLflow's own to the artifacts; the database stays
    copy.write_bytes((searched.home / "mlflow.db").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", LOAD, f"sqlite:///{copy}"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["inputs"]) == {"how much?", "count", "color", "flag"}
    assert found["outputs"] == ["prediction", "probability_no", "probability_yes"]
    assert found["example_rows"] == found["of_example"] == 5
    assert set(found["of_rows"]) <= {"yes", "no"}


def test_nothing_was_written_where_the_search_was_started(searched: Searched) -> None:
    assert list(searched.elsewhere.iterdir()) == []
    assert list((searched.home / "mlflow-artifacts" / ".reloaded").iterdir()) == []


# ---- the page ------------------------------------------------------------------------------------------------------


def ask(port: int, path: str, body: dict[str, Any] | None = None, host: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Host": host} if host else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


@dataclass(frozen=True)
class Page:
    process: "subprocess.Popen[str]"
    port: int
    first_line: str
    others: list[psutil.Process]


@pytest.fixture(scope="module")
def page(searched: Searched) -> Iterator[Page]:
    """`autoopt ui`, with rows left over from the search that it must deliver: a trial's and the model's."""
    searched.ledger('UPDATE ao_outbox SET delivered_at = NULL WHERE id = 3 OR payload LIKE \'%"kind": "model"%\'')
    process = autoopt("ui", "--home", str(searched.home), cwd=searched.elsewhere)
    try:
        assert process.stdout is not None
        line = ""
        while "http://" not in line:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
        port = int(line.split("127.0.0.1:")[1].split()[0])
        yield Page(process, port, line, psutil.Process(process.pid).children(recursive=True))
    finally:
        process.kill()
        process.communicate()


def test_the_url_is_told_when_the_page_answers_and_it_shows_the_runs(searched: Searched, page: Page) -> None:
    assert ask(page.port, "/")[0] == 200
    status, text = ask(page.port, "/ajax-api/2.0/mlflow/experiments/search", {"max_results": 10})
    assert status == 200
    experiments = {e["name"]: e["experiment_id"] for e in json.loads(text)["experiments"]}
    body = {"experiment_ids": [experiments["hard"]]}
    runs = json.loads(ask(page.port, "/ajax-api/2.0/mlflow/runs/search", body)[1])["runs"]
    assert len(runs) == 1 + sum(searched.said["trials"].values())


def test_only_its_own_name_is_answered(page: Page) -> None:
    path, body = "/ajax-api/2.0/mlflow/experiments/search", {"max_results": 1}
    assert ask(page.port, path, body, f"localhost:{page.port}")[0] == 200
    for host in ("192.168.1.7", "10.evil.com", "evil.com", f"evil.com:{page.port}", "127.0.0.1"):
        assert ask(page.port, path, body, host)[0] == 403, host
    listening = [c for p in page.others for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr for c in listening} == {("127.0.0.1", page.port)}


def test_what_was_left_over_is_delivered_and_adds_nothing(searched: Searched, page: Page) -> None:
    before = searched.mlflow.everything()
    pending = "SELECT count(*) FROM ao_outbox WHERE delivered_at IS NULL"
    wait_for(lambda: searched.ledger(pending) == [(0,)], "the rows")
    assert searched.mlflow.everything() == before


def test_a_port_that_is_taken_is_told_and_another_is_found(searched: Searched, page: Page) -> None:
    process = autoopt("ui", "--home", str(searched.home), "--port", str(page.port), cwd=searched.elsewhere)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"--port {page.port} is taken." in out + err
    assert "Traceback" not in out + err


def test_ctrl_c_ends_everything(searched: Searched, page: Page) -> None:
    page.process.send_signal(signal.SIGINT)
    assert page.process.wait(timeout=60) == 0
    assert len(page.others) >= 3  # the leash, MLflow, its worker
    wait_for(lambda: all(is_gone(p.pid) for p in page.others), "their end")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", page.port))
    assert list(searched.elsewhere.iterdir()) == []


def test_a_removed_study_leaves_its_runs(searched: Searched) -> None:
    before = searched.mlflow.everything()
    process = autoopt("rm", "hard", "--home", str(searched.home), cwd=searched.elsewhere)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert searched.mlflow.everything() == before


@pytest.mark.usefixtures("tracked")
def test_without_a_study_or_with_a_server_by_url_there_is_a_clear_word(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(StudyError, match=r"No studies in .* yet\. Begin with: autoopt search"):
        serve_ui(Places(home=str(tmp_path / "none")), None, say=said.append)
    assert serve_ui(Places(home=str(tmp_path), tracking_uri="http://127.0.0.1:9"), None, say=said.append) == 0
    assert said == ["The tracking server is http://127.0.0.1:9"]
    with pytest.raises(OptionError, match="--tracking-uri none says to tell it nothing"):
        serve_ui(Places(home=str(tmp_path), tracking_uri="none"), None, say=said.append)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgresql
def test_studies_in_postgresql_are_mirrored_to_the_home_s_sqlite(tmp_path: Path, postgresql_url: str | None) -> None:
    if postgresql_url is None:
        pytest.skip("no PostgreSQL server: set AUTOOPT_TEST_POSTGRESQL_URL or install one")
    with new_database(postgresql_url) as url, Ledger.open(url, create=True, patience_s=10.0) as ledger:
        ledger.create_study("s", {"seed": 7}, Budget(seconds=60.0))
        with ledger.own("s") as writer:
            desk = Desk(home=tmp_path, writer=writer)
            desk.deliver([study_payload(), trial_payload(0)])
            assert desk.pending() == 0
            assert desk.mlflow().run(f"{study_uid()}/0")["status"] == "FINISHED"
