"""A stored study becomes a report and bundles."""

from pathlib import Path

import numpy as np
import pytest
from support_cli import end_soon

from autoopt.app.api import load_bundle, search
from autoopt.app.artifacts import check_folder, export_bundle, predict_file, study_view, write_report
from autoopt.app.study import Study
from autoopt.errors import OptionError, StudyError, StudyNotFound

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the libraries, in this process


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        end_soon(patch)
        return search("demo:iris", trials=2, home=home, study="iris", slots=1, inline=True)


def test_the_report_shows_what_the_bundle_holds(study: Study, tmp_path: Path) -> None:
    view = study_view(study)
    assert study.bundle is not None
    manifest = load_bundle(study.bundle).manifest
    assert view.best is not None
    assert view.best.number == manifest["trial"]
    assert view.artifact is not None
    assert view.artifact.role == manifest["chosen"]
    assert view.test_looks == manifest["test_looks"] == len(manifest["artifacts"])
    assert view.environment["libraries"]["onnxruntime"]
    path = write_report("iris", study.places, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_bundles_own_report_has_the_same_figures(study: Study, tmp_path: Path) -> None:
    assert study.bundle is not None
    own = (study.bundle / "report.html").read_text(encoding="utf-8")
    later = write_report("iris", study.places, tmp_path / "report.html").read_text(encoding="utf-8")
    figures = [text[text.index('class="figures"') : text.index("The trade")] for text in (own, later)]
    assert figures[0] == figures[1]


def test_without_its_bundle_a_study_still_has_a_report(study: Study, tmp_path: Path) -> None:
    assert study.bundle is not None
    manifest = study.bundle / "manifest.json"
    content = manifest.read_bytes()
    try:
        manifest.write_bytes(content[:-20])
        path = write_report("iris", study.places, tmp_path / "report.html")
    finally:
        manifest.write_bytes(content)
    assert "No export of it was found" in path.read_text(encoding="utf-8")


def test_a_report_goes_to_a_file_in_a_folder_that_is_there(study: Study, tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "no" / "report.html"):
        with pytest.raises(OptionError, match="-o"):
            write_report("iris", study.places, output)
    with pytest.raises(StudyNotFound):
        write_report("nobody", study.places, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_any_trial_can_be_exported_and_predicts(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = study_view(study)
    assert before.best is not None
    trial = next(t for t in study.trials if t.artifact_key and t.number != before.best.number)
    folder = export_bundle("iris", study.places, str(trial.number), "bundle")
    assert folder == tmp_path / "bundle"
    assert load_bundle("bundle").manifest["trial"] == trial.number
    assert check_folder("bundle").holds
    assert study_view(study).test_looks > before.test_looks
    rows, text = predict_file("bundle", "demo:iris", None, "float")
    assert rows == 150
    lines = text.splitlines()
    assert lines[0].startswith("prediction,probability_")
    assert np.allclose([sum(float(x) for x in line.split(",")[1:]) for line in lines[1:]], 1.0, atol=1e-4)


def test_an_export_checks_its_folder_before_it_does_anything(study: Study, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    looks = study_view(study).test_looks
    with pytest.raises(OptionError, match="other things"):
        export_bundle("iris", study.places, "best", tmp_path)
    with pytest.raises(StudyError):
        export_bundle("iris", study.places, "999", tmp_path / "new")
    assert study_view(study).test_looks == looks
    assert not (tmp_path / "new").exists()
