"""A bundle predicts what the stages measured: in Python, from a file, as a bare script, and through MLflow."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support_bundle import Made, make_bundle, mixed_frame, wide_frame

from autoopt.app.artifacts import predict_file
from autoopt.bundle import load_bundle
from autoopt.errors import BundleError, DataError, OptionError
from autoopt.stages import deploy
from autoopt.task.snapshot import Snapshot


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two classes of text."""
    return make_bundle(tmp_path_factory.mktemp("mixed"), mixed_frame(300))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three classes of numbers, whole numbers and truth values among the columns; an int8 network is the twin."""
    folder, settings = tmp_path_factory.mktemp("wide"), {"mlp.epochs": 40}
    return make_bundle(folder, wide_frame(), "mlp", "static_int8", settings, chosen="quantized")


@pytest.fixture(scope="module")
def amounts(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Amounts to be predicted, without a twin."""
    frame = mixed_frame(200)
    target = frame["income"].to_numpy() * 3 + np.arange(200) / 7
    return make_bundle(tmp_path_factory.mktemp("amounts"), frame.assign(label=target), "linear", None)


@pytest.fixture(params=["mixed", "wide", "amounts"])
def made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.getfixturevalue(request.param)
    return found


def awkward(made: Made) -> pd.DataFrame:
    """Rows as files have them: gaps in every spelling, categories never seen, quotes, commas, line ends, spaces."""
    rows = made.frame.drop(columns="label").head(24).astype(object).reset_index(drop=True)
    for row, spelling in enumerate(
        ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "?", "-", "."]
    ):
        rows.loc[row, "age"] = spelling
    rows.loc[13, "age"] = "#N/A"
    rows.loc[14, "income"] = "1e3"
    rows.loc[15, "income"] = " 17 "
    for row, city in enumerate(["", "NA", "None", 'say "hi"', "a,b", "two\nlines", " Ulm ", "Łódź", "?"]):
        rows.loc[row, "city"] = city
    if "member" in rows:
        for row, spelling in enumerate(["", "NA", "true", "FALSE", "True", "?"]):
            rows.loc[row, "member"] = spelling
    return rows


def written(rows: pd.DataFrame, path: Path) -> Path:
    rows.to_csv(path, index=False)
    return path


def run_script(made: Made, source: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """predict.py in an interpreter that can import numpy, onnxruntime and the standard library."""
    blocker = source.parent / "blocked" / "sitecustomize.py"
    blocker.parent.mkdir(exist_ok=True)
    blocker.write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top not in sys.stdlib_module_names | {'numpy', 'onnxruntime', 'ml_dtypes', 'sitecustomize'}:\n"
        "            raise ModuleNotFoundError(f'{name} is blocked', name=top)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(blocker.parent), "LC_ALL": "C"}
    command = [sys.executable, str(made.folder / "predict.py"), str(source), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)


def test_the_graphs_in_the_bundle_give_what_the_stages_measured(made: Made) -> None:
    bundle, snapshot = load_bundle(made.folder), Snapshot.open(made.place.snapshot)
    valid, facts = snapshot.part("valid"), snapshot.facts
    columns = dict(zip(facts.number_columns, valid.numbers.T, strict=True))
    columns |= dict(zip(facts.category_columns, valid.categories.T, strict=True))
    pair = {"float": made.contents.verified.float_artifact, "quantized": made.contents.verified.twin}
    for role in bundle.roles:
        artifact = pair[role]
        assert artifact is not None
        scores = bundle.scores(columns, artifact=role).astype(np.float32)
        assert deploy.quality(facts, valid.target, scores) == pytest.approx(artifact.valid.value, abs=1e-9)


def test_the_sample_holds_scores_of_its_rows(made: Made) -> None:
    bundle = load_bundle(made.folder)
    sample = bundle.sample()
    for role in bundle.roles:
        np.testing.assert_allclose(bundle.scores(sample["columns"], artifact=role), sample[role], atol=1e-6)


def test_predictions_of_a_frame(made: Made) -> None:
    bundle = load_bundle(made.folder)
    rows = made.frame.drop(columns="label").iloc[[7, 3, 3, 11]]
    found = bundle.predict(rows)
    assert list(found.columns) == ["prediction", *(f"probability_{c}" for c in bundle.classes)]
    assert list(found.index) == [7, 3, 3, 11]
    assert found.iloc[1].equals(found.iloc[2])
    if bundle.classes:
        probabilities = found.drop(columns="prediction").to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        best = np.array(bundle.classes)[probabilities.argmax(axis=1)]
        assert [str(p) for p in found["prediction"]] == list(best)


def test_numbers_as_classes_are_predicted_as_numbers(wide: Made) -> None:
    found = load_bundle(wide.folder).predict(wide.frame.drop(columns="label"))["prediction"]
    assert found.dtype == np.int64
    assert set(found) <= {1, 2, 5}
    assert (found == wide.frame["label"]).mean() > 0.6


def test_no_rows_give_no_predictions(made: Made) -> None:
    found = load_bundle(made.folder).predict(made.frame.drop(columns="label").head(0))
    assert len(found) == 0
    assert "prediction" in found.columns


def test_a_twin_that_is_not_there_says_why(amounts: Made) -> None:
    with pytest.raises(BundleError, match="no form of quantization applies"):
        load_bundle(amounts.folder).predictor("quantized")


def test_the_script_agrees_on_awkward_files(made: Made, tmp_path: Path) -> None:
    source = written(awkward(made), tmp_path / "new.csv")
    rows, told = predict_file(str(made.folder), str(source), None, "chosen")
    ran = run_script(made, source)
    assert ran.stderr == ""
    assert ran.returncode == 0
    ours, theirs = (list(csv.reader(io.StringIO(text))) for text in (told, ran.stdout))
    assert rows == len(theirs) - 1 == 24
    assert ours[0] == theirs[0]
    assert [line[0] for line in ours[1:]] == [line[0] for line in theirs[1:]] or not made.facts.classes
    numbers = [np.array([line[-1:] for line in lines[1:]], dtype=float) for lines in (ours, theirs)]
    np.testing.assert_allclose(*numbers, atol=1e-6)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_script_reads_other_delimiters_and_writes_a_file(mixed: Made, tmp_path: Path, delimiter: str) -> None:
    rows = mixed.frame.drop(columns="label").head(5)
    source = tmp_path / ("new.tsv" if delimiter == "\t" else "new.csv")
    source.write_text("\ufeff" + rows.to_csv(index=False, sep=delimiter), encoding="utf-8")
    ran = run_script(mixed, source, str(tmp_path / "out.csv"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    found = pd.read_csv(tmp_path / "out.csv")
    expected = load_bundle(mixed.folder).predict(rows)
    assert list(found["prediction"]) == list(expected["prediction"])


@pytest.mark.parametrize(
    "text, told",
    [
        ("age,income,city\n1,2,x\n", "lacks the columns job"),
        ("age,income,city,job\n1,many,x,y\n", "column 'income' of row 2 holds 'many'"),
        ("age,income,city,job\n1,2,x,y\n1,inf,x,y\n", "column 'income' of row 3 holds 'inf'"),
        ("age,income,city,job\n1,1_000,x,y\n", "'1_000'"),
        ("age,income,city,job\n1,2,x\n", "row 2"),
    ],
)
def test_the_script_says_in_one_line_what_it_cannot_read(mixed: Made, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "new.csv").write_text(text)
    ran = run_script(mixed, tmp_path / "new.csv")
    assert ran.returncode == 1
    assert told in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    with pytest.raises(DataError):
        predict_file(str(mixed.folder), str(tmp_path / "new.csv"), None, "chosen")


def test_predictions_go_to_files_in_the_rows_order(wide: Made, tmp_path: Path) -> None:
    source = written(wide.frame.drop(columns="label"), tmp_path / "new.csv")
    _, text = predict_file(str(wide.folder), str(source), None, "chosen")
    for name, read in (("out.csv", pd.read_csv), ("out.parquet", pd.read_parquet)):
        assert predict_file(str(wide.folder), str(source), str(tmp_path / name), "chosen") == (len(wide.frame), "")
        pd.testing.assert_frame_equal(read(tmp_path / name), pd.read_csv(io.StringIO(text)), rtol=1e-12)
    expected = load_bundle(wide.folder).predict(wide.frame)["prediction"]
    assert list(pd.read_csv(tmp_path / "out.csv")["prediction"]) == list(expected)


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for output in ("out.txt", "no/such/out.csv", ".", "out"):
        with pytest.raises(OptionError, match="-o"):
            predict_file("no bundle", "no data", str(tmp_path / output), "chosen")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow's own, of its libraries
def test_mlflow_loads_the_folder_and_predicts(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model(str(made.folder))
    rows = made.frame.drop(columns="label").head(30)
    expected = load_bundle(made.folder).predict(rows)
    variants = [rows, rows.iloc[:, ::-1], rows.assign(surplus=1), rows.astype({"city": object})]
    if "member" in rows:
        variants += [rows.astype({"member": float}), rows.assign(visits=rows["visits"].astype("int32"))]
    whole = rows.assign(income=rows["income"].round().astype("int64"))
    np.testing.assert_allclose(_scores(model.predict(whole)), _scores(load_bundle(made.folder).predict(whole)))
    for variant in variants:
        np.testing.assert_allclose(_scores(model.predict(variant)), _scores(expected), atol=1e-6)
    with pytest.raises(mlflow.exceptions.MlflowException, match="income"):
        model.predict(rows.drop(columns="income"))
    gaps = pd.DataFrame({name: [None, values.iloc[0]] for name, values in rows.items()})
    assert np.isfinite(_scores(model.predict(gaps))).all()
    assert not (tmp_path / "mlflow.db").exists()


def _scores(predicted: pd.DataFrame) -> np.ndarray:
    last = [c for c in predicted.columns if str(c).startswith("probability_")] or ["prediction"]
    return predicted[last].to_numpy(dtype=float)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflows_input_example_fits_the_signature(mixed: Made, tmp_path: Path) -> None:
    from mlflow.models import Model

    model = Model.load(str(mixed.folder))
    assert model.signature is not None
    example = model.load_input_example(str(mixed.folder))
    assert list(example.columns) == model.signature.inputs.input_names()
    outputs = ["prediction", "probability_no", "probability_yes"]
    assert model.signature.outputs.input_names() == outputs


def test_a_bundle_moves_as_a_folder(mixed: Made, tmp_path: Path) -> None:
    shutil.copytree(mixed.folder, tmp_path / "elsewhere")
    rows = mixed.frame.drop(columns="label")
    here, there = (load_bundle(folder).predict(rows) for folder in (mixed.folder, tmp_path / "elsewhere"))
    pd.testing.assert_frame_equal(here, there)
    assert json.loads((tmp_path / "elsewhere" / "manifest.json").read_text())["study"] == "made"
