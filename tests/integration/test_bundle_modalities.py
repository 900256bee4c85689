"""Bundles for texts, images and arrays: the sample, Python, the command and the bare script give the same scores."""

import base64
import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support_bundle import study_row
from support_modalities import (
    CLASSES,
    HEIGHT,
    WIDTH,
    HandMade,
    hand_made,
    image_graph,
    image_task,
    tensor_graph,
    tensor_task,
    text_graph,
    text_task,
)

from autoopt.app.artifacts import predict_file
from autoopt.bundle import check_bundle, load_bundle, write_bundle
from autoopt.errors import DataError
from autoopt.files.pictures import decode
from autoopt.runtime.pyfunc import _load_pyfunc
from autoopt.stages.rows import feed_of

TASKS = {"texts": (text_task, text_graph), "images": (image_task, image_graph), "arrays": (tensor_task, tensor_graph)}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HandMade]:
    return {name: hand_made(tmp_path_factory.mktemp(name), *parts) for name, parts in TASKS.items()}


@pytest.fixture(params=list(TASKS))
def made(request: pytest.FixtureRequest, bundles: dict[str, HandMade]) -> HandMade:
    return bundles[request.param]


@pytest.fixture
def photos(bundles: dict[str, HandMade], tmp_path: Path) -> Path:
    """A folder of pictures of many kinds, and files that are none."""
    folder, pixels = tmp_path / "photos", bundles["images"].part.tensors[0]
    (folder / "more").mkdir(parents=True)
    for row in range(5):
        Image.fromarray(pixels[row]).save(folder / f"exact {row}.png")
    wide = Image.fromarray(pixels[5]).resize((90, 40))
    wide.save(folder / "more" / "photo.JPG", quality=90)
    wide.convert("P").save(folder / "more" / "palette.gif")
    wide.convert("CMYK").save(folder / "more" / "print.jpg")
    transparent = wide.convert("RGBA")
    transparent.putalpha(90)
    transparent.save(folder / "transparent.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(folder / "turned.jpeg", exif=exif)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"no picture")
    return folder


def run_script(made: HandMade, *arguments: str, at: Path) -> "subprocess.CompletedProcess[str]":
    """predict.py in an interpreter that has numpy, onnxruntime, Pillow and the standard library."""
    blocker = at / "blocked" / "sitecustomize.py"
    blocker.parent.mkdir(exist_ok=True)
    allowed = {"numpy", "onnxruntime", "ml_dtypes", "PIL", "pictures", "sitecustomize"}
    blocker.write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        f"        if top not in sys.stdlib_module_names | {allowed!r}:\n"
        "            raise ModuleNotFoundError(f'{name} is blocked', name=top)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(blocker.parent), "LC_ALL": "C"}
    command = [sys.executable, str(made.folder / "predict.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)


def agree(made: HandMade, data: Path, at: Path) -> pd.DataFrame:
    """What the command and the script both say of these data."""
    rows, text = predict_file(str(made.folder), str(data), None, "chosen")
    ran = run_script(made, str(data), at=at)
    assert ran.stderr == ""
    ours, theirs = (pd.read_csv(io.StringIO(t)) for t in (text, ran.stdout))
    assert len(ours) == rows
    pd.testing.assert_frame_equal(ours, theirs, atol=1e-6)
    return ours


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    return frame[[f"probability_{c}" for c in CLASSES]].to_numpy()


def test_the_bundle_checks_out(made: HandMade) -> None:
    report = check_bundle(made.folder, seconds=0.05)
    assert report.holds, report.to_json()
    assert load_bundle(made.folder).manifest["modality"] == made.facts.modality


def test_python_takes_rows_as_the_part_has_them(made: HandMade) -> None:
    bundle = load_bundle(made.folder)
    found = bundle.predict(feed_of(made.facts, made.part))
    assert list(found.columns) == ["prediction", *(f"probability_{c}" for c in CLASSES)]
    finite = ~np.isnan(probabilities(found)).any(axis=1)
    assert finite.sum() >= len(made.part.target) - 1
    best = np.array(CLASSES)[probabilities(found)[finite].argmax(axis=1)]
    assert list(found["prediction"][finite]) == list(best)


def test_every_script_is_sealed_and_leaves_nothing_behind(made: HandMade, tmp_path: Path) -> None:
    ran = run_script(made, at=tmp_path)
    assert ran.returncode == 1
    assert "python predict.py" in ran.stderr
    load_bundle(made.folder)  # refuses a file that the manifest does not list


def test_texts_of_a_file(bundles: dict[str, HandMade], tmp_path: Path) -> None:
    made = bundles["texts"]
    rows = pd.DataFrame(made.part.texts, columns=["title", "body"]).assign(other=1)
    rows.to_csv(tmp_path / "new.csv", index=False)
    found = agree(made, tmp_path / "new.csv", tmp_path)
    np.testing.assert_allclose(probabilities(found), probabilities(load_bundle(made.folder).predict(rows)), atol=1e-6)
    assert len(set(found["probability_cat"])) == 4
    with pytest.raises(DataError, match="body"):
        predict_file(str(made.folder), str(_without_body(rows, tmp_path)), None, "chosen")


def _without_body(rows: pd.DataFrame, folder: Path) -> Path:
    rows.drop(columns="body").to_csv(folder / "less.csv", index=False)
    return folder / "less.csv"


def test_images_of_a_folder(bundles: dict[str, HandMade], photos: Path, tmp_path: Path) -> None:
    made = bundles["images"]
    found = agree(made, photos, tmp_path)
    assert list(found["file"])[-3:] == ["more/palette.gif", "more/photo.JPG", "more/print.jpg"]
    assert set(found["file"]) == {
        *(f"exact {row}.png" for row in range(5)),
        *("transparent.png", "turned.jpeg", "more/palette.gif", "more/photo.JPG", "more/print.jpg"),
    }
    bundle, exact = load_bundle(made.folder), [i for i, f in enumerate(found["file"]) if f.startswith("exact")]
    expected = bundle.scores({"image": made.part.tensors[0][:5]})
    np.testing.assert_allclose(probabilities(found)[exact], expected, atol=1e-6)
    by_path = bundle.predict({"image": [photos / name for name in found["file"]]})
    np.testing.assert_allclose(probabilities(by_path), probabilities(found), atol=1e-6)


def test_images_one_by_one_and_by_a_list(bundles: dict[str, HandMade], photos: Path, tmp_path: Path) -> None:
    made = bundles["images"]
    one = agree(made, photos / "turned.jpeg", tmp_path)
    assert list(one["file"]) == ["turned.jpeg"]
    names = ["turned.jpeg", "more/photo.JPG", "turned.jpeg"]
    for column in ("image", "path"):  # named like the model's input, or recognized by its values
        pd.DataFrame({"note": "x", column: names}).to_csv(photos / "list.csv", index=False)
        _, text = predict_file(str(made.folder), str(photos / "list.csv"), None, "chosen")
        listed = pd.read_csv(io.StringIO(text))
        assert list(listed["file"]) == names
    (photos / "empty.csv").write_text("path\n")
    (photos / "two.csv").write_text("path,other\na.png,b.png\n")
    for name in ("empty.csv", "two.csv"):
        with pytest.raises(DataError, match="image"):
            predict_file(str(made.folder), str(photos / name), None, "chosen")
    np.testing.assert_allclose(probabilities(listed)[[0, 2]], probabilities(one)[[0, 0]], atol=1e-6)
    ran = run_script(made, *(str(photos / n) for n in names[:2]), str(tmp_path / "out.csv"), at=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    np.testing.assert_allclose(probabilities(pd.read_csv(tmp_path / "out.csv")), probabilities(listed)[:2], atol=1e-6)


def test_images_of_an_archive(bundles: dict[str, HandMade], photos: Path, tmp_path: Path) -> None:
    made = bundles["images"]
    shutil.make_archive(str(tmp_path / "packed"), "gztar", photos)
    places = (photos, tmp_path / "packed.tar.gz")
    folder, archive = (predict_file(str(made.folder), str(place), None, "chosen")[1] for place in places)
    assert folder == archive


def test_all_images_that_are_none_are_told_at_once(bundles: dict[str, HandMade], photos: Path, tmp_path: Path) -> None:
    made = bundles["images"]
    (photos / "text.jpg").write_text("no picture")
    (photos / "cut.png").write_bytes((photos / "exact 0.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"2 of 12 images cannot be read: .*cut\.png .*text\.jpg is no image"):
        predict_file(str(made.folder), str(photos), None, "chosen")
    ran = run_script(made, str(photos), at=tmp_path)
    assert ran.returncode == 1
    assert "cut.png is cut short" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no image"):
        predict_file(str(made.folder), str(empty), None, "chosen")


def test_arrays_of_a_file(bundles: dict[str, HandMade], tmp_path: Path) -> None:
    made = bundles["arrays"]
    signal, bias = made.part.tensors
    np.savez(tmp_path / "new.npz", signal=signal.astype(np.float64), bias=bias.astype(np.int16), other=np.zeros(3))
    found = agree(made, tmp_path / "new.npz", tmp_path)
    expected = load_bundle(made.folder).scores({"signal": signal, "bias": bias})
    np.testing.assert_allclose(probabilities(found), expected, atol=1e-6)


@pytest.mark.parametrize(
    "name, content", [("new.npz", b"PK"), ("new.npz", b""), ("new.npy", b"x"), ("new.csv", b"a\n1\n")]
)
def test_files_that_hold_no_arrays(bundles: dict[str, HandMade], tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"Give an \.npz file with signal \(rows, 3, 4\), bias \(rows, 3\)"):
        predict_file(str(bundles["arrays"].folder), str(tmp_path / name), None, "chosen")


def test_objects_in_arrays_are_not_loaded(bundles: dict[str, HandMade], tmp_path: Path) -> None:
    """np.load would run what such a file says."""
    made = bundles["arrays"]
    np.savez(tmp_path / "new.npz", signal=np.array([{}], dtype=object), bias=np.zeros((1, 3)))
    with pytest.raises(DataError, match="cannot be read"):
        predict_file(str(made.folder), str(tmp_path / "new.npz"), None, "chosen")
    ran = run_script(made, str(tmp_path / "new.npz"), at=tmp_path)
    assert ran.returncode == 1


def test_a_served_model_opens_no_files(bundles: dict[str, HandMade], photos: Path) -> None:
    """Whoever reaches a server may send it any text."""
    made, model = bundles["images"], _load_pyfunc(str(bundles["images"].folder))
    path = photos / "exact 0.png"
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    expected = load_bundle(made.folder).scores({"image": [path]})
    for sent in (path.read_bytes(), uri, decode(path.read_bytes(), HEIGHT, WIDTH)):
        found = model.predict(pd.DataFrame({"image": [sent]}))
        np.testing.assert_allclose(probabilities(found), expected, atol=1e-6)
    for sent in (str(path), path, "~/x.png", "/etc/passwd", f" {uri}"):
        with pytest.raises(DataError, match="is a path, and a served model opens no files"):
            model.predict(pd.DataFrame({"image": [uri, sent]}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow's own, of its libraries
def test_mlflow_predicts_its_input_example(made: HandMade) -> None:
    import mlflow
    from mlflow.models import Model

    model = mlflow.pyfunc.load_model(str(made.folder))
    example = Model.load(str(made.folder)).load_input_example(str(made.folder))
    found = model.predict(example)
    expected = load_bundle(made.folder).sample()["float"][: len(found)]
    assert len(found) == 5
    np.testing.assert_allclose(probabilities(found), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("task", "image", "words"),
    [
        ("images", None, "DATA"),
        ("images", "photo", 'DATA --image "photo" --target "label"'),
        ("texts", None, 'DATA --target "label" --text "title,body"'),
        ("arrays", None, "task.py:task"),
    ],
)
def test_the_recipe_says_how_to_run_it_again(
    bundles: dict[str, HandMade], tmp_path: Path, task: str, image: str | None, words: str
) -> None:
    contents = bundles[task].contents
    folder = write_bundle(tmp_path / "bundle", replace(contents, study=study_row(spec={"seed": 1, "image": image})))
    assert f"#   autoopt search {words} --recipe recipe.yaml\n" in (folder / "recipe.yaml").read_text()
