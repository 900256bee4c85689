"""What scripts rely on: JSON on the last line, exit codes, what is written and what is not, and the Python API."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from support_cli import CHEAP, ROOT, Ran, Searched, end_soon, run_here, run_process, table, tree, write_table
from support_faults import picture, violations
from support_tracking import Mirror

import autoopt
from autoopt.errors import InputError, StudyExists, StudyNotFound

pytest_plugins = ["support_cli_fixtures"]
pytestmark = pytest.mark.slow

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
SETS_UP_S = 2
SETS_UP_FIRST = ("sh", "-c", f'sleep {SETS_UP_S}; exec "$@"', "sh")
"""As scripts/autoopt on first use: works for a while, then becomes the command, in the same process."""
MEASURES = {"trial", "valid", "test", "latency_ms", "size_bytes", "recipe"}


def assert_summary(found: dict[str, object], *, trials: int) -> None:
    """All fields of the object that --json prints."""
    assert set(found) == {"study", "bundle", "metric", "trials", "best", "twin", "seconds"}
    counts = found["trials"]
    assert isinstance(counts, dict)
    assert set(counts) == {"complete", "pruned", "infeasible", "failed"}
    assert sum(counts.values()) == trials
    best, twin, seconds = found["best"], found["twin"], found["seconds"]
    assert isinstance(best, dict)
    assert set(best) == MEASURES
    assert isinstance(twin, dict)
    assert set(twin) - {"reason"} in (MEASURES, set())
    assert twin, "a twin's measures or the reason why there is none"
    assert isinstance(seconds, dict)
    assert set(seconds) == {"budget", "spent"}
    assert seconds["spent"] > 0


def copy_of(searched: Searched, folder: Path) -> Path:
    """A home that a test may change."""
    return Path(shutil.copytree(searched.home, folder / "home"))


def test_search_prints_one_object_and_says_the_rest_on_stderr(searched: Searched) -> None:
    assert searched.ran.out.count("\n") == 1
    found = searched.ran.last_json
    assert_summary(found, trials=3)
    assert found["study"] == "tree"
    assert found["metric"] == "roc_auc"
    assert found["bundle"] == str(searched.bundle)
    assert found["best"]["recipe"]["model"] == "decision_tree"
    assert 0.5 < found["best"]["valid"] <= 1.0
    assert found["seconds"]["budget"] is None
    for text in ("study tree", "120 rows", "the front", "exported", "autoopt predict"):
        assert text in searched.ran.err


def test_show_prints_the_same_object(searched: Searched) -> None:
    ran = run_here("show", "tree", "--home", str(searched.home), "--json")
    assert ran.code == 0
    assert ran.last_json == searched.ran.last_json
    assert ran.out.count("\n") == 1
    assert "decision_tree" in ran.err


def test_studies_lists_what_is_there(searched: Searched) -> None:
    ran = run_here("studies", "--home", str(searched.home), "--json")
    listed = json.loads(ran.out)
    assert [(s["name"], s["state"], s["trials"]) for s in listed] == [("tree", "finished", 3)]


def test_with_tracking_uri_none_what_is_for_mlflow_waits(searched: Searched) -> None:
    assert not (searched.home / "mlflow.db").exists()
    assert "MLflow" not in searched.ran.err
    now = picture(searched.home, "tree")
    assert now is not None
    assert now.undelivered > len(now.trials)


@pytest.mark.usefixtures("tracked")
def test_resume_adds_trials_tells_the_totals_and_tells_mlflow_what_waited(searched: Searched, tmp_path: Path) -> None:
    home = copy_of(searched, tmp_path)
    before = picture(home, "tree")
    assert before is not None
    began = time.monotonic()
    ran = run_process(
        "resume", "tree", "--trials", "1", "--home", str(home), "--json", folder=tmp_path, launcher=SETS_UP_FIRST
    )
    wall_s = time.monotonic() - began
    assert ran.code == 0, ran.err
    assert_summary(ran.last_json, trials=4)
    assert ran.last_json["best"]["valid"] >= searched.ran.last_json["best"]["valid"] - 1e-9
    added_s = ran.last_json["seconds"]["spent"] - searched.ran.last_json["seconds"]["spent"]
    assert 0 < added_s < wall_s - SETS_UP_S, "what the launcher did in this process is no time of the study"
    now = picture(home, "tree")
    assert now is not None
    assert now.undelivered == 0
    assert now.counted == before.counted + 1
    assert violations(home, before, settled=True, study="tree") == []
    names = {name.partition(":")[0] for (name,) in Mirror(home / "mlflow.db").rows("SELECT name FROM runs")}
    assert names == {"tree", *(f"trial {trial.number}" for trial in now.trials)}


@pytest.mark.parametrize("words", [("--json",), ()], ids=["json", "text"])
def test_a_dry_run_runs_and_writes_nothing(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv")
    before = tree(tmp_path)
    ran = run_here("search", "table.csv", "--target", "y", "--dry-run", "--study", "dry", *words)
    assert ran.code == 0
    assert tree(tmp_path) == before
    told = ran.err if words else ran.out
    for text in ("study dry", "120 rows", "roc_auc", "lightgbm.num_leaves", "known-good recipes"):
        assert text in told
    if words:
        assert (ran.last_json["study"], ran.last_json["dry_run"]) == ("dry", True)


def test_no_feasible_trial_exits_3_and_exports_the_nearest_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_soon(monkeypatch)
    data = write_table(tmp_path / "table.csv")
    words = ("--target", "y", "--trials", "2", "--json", "--limit", "latency_ms<=0.000001", "--inline")
    ran = run_here("search", str(data), *words, *CHEAP)
    assert ran.code == 3, ran.err
    assert_summary(ran.last_json, trials=2)
    assert ran.last_json["trials"]["infeasible"] == 2
    assert "nearest miss" in ran.err
    assert "latency_ms<=1e-06" in ran.err
    manifest = json.loads((Path(str(ran.last_json["bundle"])) / "manifest.json").read_text())
    assert "latency_ms<=1e-06" in manifest["missed"]


def test_the_exported_recipe_gives_the_same_quality_again(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_soon(monkeypatch)
    recipe = str(searched.bundle / "recipe.yaml")
    words = ("--target", "y", "--recipe", recipe, "--slots", "1", "--home", str(tmp_path / "home"), "--json")
    ran = run_here("search", str(searched.data), *words, "--inline")
    assert ran.code == 0, ran.err
    assert_summary(ran.last_json, trials=1)
    again, before = ran.last_json["best"], searched.ran.last_json["best"]
    assert again["valid"] == pytest.approx(before["valid"], abs=1e-9)
    assert again["test"] == pytest.approx(before["test"], abs=1e-9)


def test_pins_hold_in_every_trial_and_the_database_is_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    end_soon(monkeypatch)
    write_table(tmp_path / "table.csv")
    url = "sqlite:///other.db"
    words = ("--target", "y", "--trials", "3", "--study", "pinned", "--home", "home", "--storage", url)
    pins = ("--set", "decision_tree.max_leaf_nodes=7", "--set", "encode=onehot")
    ran = run_here("search", "table.csv", *words, *CHEAP, *pins, "--inline")
    assert ran.code == 0, ran.err
    assert (tmp_path / "other.db").is_file()
    assert not (tmp_path / "home" / "autoopt.db").exists()
    assert f"autoopt resume pinned --time 2m --home home --storage {url}" in ran.out
    study = autoopt.load_study("pinned", home=tmp_path / "home", storage=f"sqlite:///{tmp_path}/other.db")
    recipes = [trial.recipe for trial in study.trials]
    assert len(recipes) >= 3
    for recipe in recipes:
        values = recipe["model"], recipe["decision_tree.max_leaf_nodes"], recipe["encode"]
        assert values == ("decision_tree", 7, "onehot")


def test_plain_lines_where_the_output_is_no_terminal(searched: Searched) -> None:
    assert CONTROL.search(searched.ran.err) is None
    trials = [line for line in searched.ran.err.splitlines() if re.match(r"\s+[\d.]+s  trial \d", line)]
    assert len(trials) == 3
    assert sum(line.endswith("best") for line in trials) >= 1


def on_a_terminal(words: list[str], folder: Path, *, stop_at: str = "") -> Ran:
    """The command on a pseudo terminal of 80 columns; Ctrl-C is typed once `stop_at` was shown."""
    process, terminal = pty.fork()
    if process == 0:  # the child
        os.chdir(folder)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80"}
        os.execve(sys.executable, [sys.executable, "-m", "autoopt", *words], environment)
    shown, deadline = b"", time.monotonic() + 200
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the other end was closed: the command ended
                break
            if stop_at and stop_at.encode() in shown:
                os.write(terminal, b"\x03")
                stop_at = ""
        else:
            os.kill(process, signal.SIGKILL)
    finally:
        _, status = os.waitpid(process, 0)
        os.close(terminal)
    return Ran(code=os.waitstatus_to_exitcode(status), out=shown.decode(), err="")


def test_a_live_block_on_a_terminal_and_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    words = ["search", "table.csv", "--target", "y", "--time", "150s", "--study", "live", "--home", "home"]
    ran = on_a_terminal([*words, *CHEAP], tmp_path, stop_at="trial 1 ")
    assert ran.code == 130, ran.out
    assert "\x1b[" in ran.out
    assert "of 2m30s" in ran.out
    assert "━" in ran.out
    assert "Stopped by you" in ran.out
    assert "autoopt resume live --home home" in ran.out
    assert "Traceback" not in ran.out
    study = autoopt.load_study("live", home=tmp_path / "home")
    assert study.row.state == "open"
    assert study.totals.complete >= 1


def test_a_terminal_without_our_characters_shows_others(searched: Searched, tmp_path: Path) -> None:
    ran = run_process("show", "tree", "--home", str(searched.home), folder=tmp_path, PYTHONIOENCODING="ascii")
    assert ran.code == 0, ran.err
    assert "decision_tree" in ran.out


def test_debug_shows_where(tmp_path: Path) -> None:
    ran = run_process("search", "nowhere.csv", "--target", "y", "--debug", folder=tmp_path)
    assert ran.code == 2
    assert "Traceback (most recent call last)" in ran.err
    assert "error: nowhere.csv does not exist" in ran.err


def test_the_api_searches_a_frame_and_the_bundle_predicts(tmp_path: Path) -> None:
    code = f"""
        import pandas as pd, autoopt
        frame = pd.read_csv("table.csv")
        if __name__ == "__main__":
            study = autoopt.search(
                frame, target="y", trials=2, home="home", study="api", slots=1, pins=("model=decision_tree",),
            )
            assert study.best is not None and study.best in study.front
            folder = study.export("bundle", pick="smallest")
            predicted = autoopt.load_bundle(folder).predict(frame.drop(columns="y"))
            assert list(predicted.columns) == ["prediction", "probability_no", "probability_yes"]
            assert len(predicted) == {len(table()) - 1}
            assert (predicted["prediction"] == frame["y"]).mean() > 0.7
            assert autoopt.load_study("api", home="home").best == study.best
            print("well", repr(study))
    """
    write_table(tmp_path / "table.csv")
    (tmp_path / "script.py").write_text("\n".join(line[8:] for line in code.splitlines()))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "well <autoopt study 'api': 2 trials, finished>\n"


def test_the_api_refuses_as_the_command_line_does(searched: Searched, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": ["p", "q"]})
    with pytest.raises(InputError, match="--trials") as caught:
        autoopt.search(frame, target="y", trials=0, limits=["speed<=1"], home=tmp_path / "home")
    assert len(caught.value.problems) >= 3
    with pytest.raises(InputError, match="time 'soon' is not a duration"):
        autoopt.search(frame, target="y", time="soon", home=tmp_path / "home")
    with pytest.raises(StudyExists, match="autoopt resume tree"):
        autoopt.search(searched.data, target="y", trials=1, study="tree", home=searched.home)
    with pytest.raises(StudyNotFound, match="tree"):
        autoopt.load_study("three", home=searched.home)
    assert not (tmp_path / "home").exists()


def test_predictions_go_to_stdout_or_a_file(searched: Searched, tmp_path: Path) -> None:
    data = write_table(tmp_path / "new.csv", [row.rsplit(",", 1)[0] for row in table(40, 1)])
    printed = run_here("predict", str(searched.bundle), str(data))
    assert printed.code == 0
    assert printed.out.splitlines()[0] == "prediction,probability_no,probability_yes"
    assert len(printed.out.splitlines()) == 41
    written = run_here("predict", str(searched.bundle), str(data), "-o", str(tmp_path / "out.csv"))
    assert (written.code, written.out) == (0, f"Wrote 40 predictions to {tmp_path / 'out.csv'}.\n")
    assert (tmp_path / "out.csv").read_text() == printed.out


def test_check_says_that_a_bundle_is_sound(searched: Searched) -> None:
    ran = run_here("check", str(searched.bundle), "--json")
    assert (ran.code, ran.last_json["holds"]) == (0, True)
    assert "The bundle is sound" in ran.err


def test_rm_removes_the_study_and_its_bundle(searched: Searched, tmp_path: Path) -> None:
    home = copy_of(searched, tmp_path)
    ran = run_here("rm", "tree", "--home", str(home))
    assert ran.code == 0, ran
    assert not (home / "bundles" / "tree").exists()
    assert run_here("studies", "--home", str(home)).out.startswith("No studies yet")
    assert run_here("show", "tree", "--home", str(home)).code == 2
