"""Pre-trained weights through the command line and whole searches: what is told, what is kept, what comes out."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from support_backbone import write_weights
from support_cli import end_soon, run_here, tree
from support_images import write_classes
from support_squares import squares

from autoopt.bundle import load_bundle
from autoopt.errors import DataError
from autoopt.task import Snapshot, TaskOptions, prepare_task
from autoopt.task.assemble import PreparedTask

SMALL = ("--slots", "1", "--set", "model=backbone", "--set", "backbone.least_side=0", "--set", "backbone.epochs=3")
SMALL += ("--set", "optimizer.learning_rate=0.001", "--set", "precision=fp32")  # weights of chance diverge easily


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of two classes and a file of weights."""
    folder = tmp_path / "here"
    write_classes(folder / "photos", {"ant": 20, "bee": 20})
    write_weights(folder / "resnet.safetensors")
    (folder / "text.safetensors").write_text("no weights" * 20)
    (folder / "t.csv").write_text("x,y\n" + "".join(f"{k},{k % 2}\n" for k in range(40)))
    monkeypatch.chdir(folder)
    return folder


@dataclass(frozen=True, kw_only=True)
class Case:
    words: str
    says: tuple[str, ...]


CASES = {
    "all at once": Case(
        words="photos --backbone text.safetensors --image-size 7 --target y",
        says=("--backbone 'text.safetensors' is no safetensors file", "--image-size 7", "--target 'y'"),
    ),
    "beside bad images": Case(
        words="nothing.zip --backbone gone.safetensors",
        says=("'gone.safetensors': there is no", "nothing.zip does not"),
    ),
    "a table": Case(
        words="t.csv --target y --backbone resnet.safetensors --image-size 32",
        says=("--backbone resnet.safetensors is for images", "--image-size 32 is for images"),
    ),
    "an empty text": Case(words="photos --backbone ", says=("--backbone was given an empty text",)),
    "no weights": Case(
        words="photos --set model=backbone", says=("No choice of model applies here", "was given: --backbone FILE")
    ),
    "of no use": Case(
        words="photos --backbone resnet.safetensors --set model=patch_net",
        says=("--backbone 'resnet.safetensors' is of no use", "let backbone be a choice of model"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_and_nothing_is_written(name: str, here: Path) -> None:
    before = tree(here.parent)
    ran = run_here("search", *CASES[name].words.split(" "), "--dry-run")
    assert (ran.code, ran.out) == (2, ""), ran
    told = " ".join(ran.err.split())  # lines are broken where the terminal ends
    for says in CASES[name].says:
        assert says in told, ran.err
    assert tree(here.parent) == before


def test_who_gives_no_weights_hears_nothing_of_them(here: Path) -> None:
    plain = run_here("search", "photos", "--dry-run")
    assert plain.code == 0, plain.err
    assert "backbone" not in plain.out
    ran = run_here("search", "photos", "--dry-run", "--backbone", "resnet.safetensors")
    assert ran.code == 0, ran.err
    assert "resnet.safetensors: ResNet-10 of 8 to 64 channels" in " ".join(ran.out.split())
    assert "backbone.learns" in ran.out


def task(file: str) -> PreparedTask:
    return prepare_task("photos", TaskOptions(backbone=file))


def test_other_weights_are_another_task_and_another_name_is_not(here: Path) -> None:
    (here / "same.safetensors").write_bytes((here / "resnet.safetensors").read_bytes())
    write_weights(here / "other.safetensors", seed=1)
    prints = {name: task(f"{name}.safetensors").facts.fingerprint for name in ("resnet", "same", "other")}
    plain = prepare_task("photos", TaskOptions()).facts.fingerprint
    assert prints["resnet"] == prints["same"]
    assert len({plain, *prints.values()}) == 3


def test_the_snapshot_has_its_own_copy(here: Path) -> None:
    file = here / "resnet.safetensors"
    content = file.read_bytes()
    task("resnet.safetensors").save(here / "task")
    file.unlink()
    opened = Snapshot.open(here / "task").verify()
    assert opened.facts.backbone is not None
    assert opened.facts.backbone.name == "resnet.safetensors"
    assert opened.backbone is not None
    assert opened.backbone.read_bytes() == content
    opened.backbone.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="damaged"):
        _ = Snapshot.open(here / "task").backbone


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_weights_that_changed_since_they_were_checked_are_noticed(gone: bool, here: Path) -> None:
    found = task("resnet.safetensors")
    if gone:
        (here / "resnet.safetensors").unlink()
    else:
        write_weights(here / "resnet.safetensors", seed=1)
    with pytest.raises(DataError, match="can no longer be read" if gone else "has changed"):
        found.save(here / "task")
    assert not (here / "task").exists()


@pytest.mark.slow
def test_a_search_and_a_resume_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = squares(rows=150)
    for number, (picture, kind) in enumerate(zip(data.train.pixels, data.train_target, strict=True)):
        path = tmp_path / "photos" / f"colour{kind}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    file = write_weights(tmp_path / "resnet.safetensors")
    monkeypatch.chdir(tmp_path)
    end_soon(monkeypatch)
    begun = ("search", "photos", "--backbone", file.name, *SMALL, "--trials", "1", "--study", "one", "--json")
    ran = run_here(*begun, "--inline")
    assert ran.code == 0, ran.err
    file.rename(tmp_path / "elsewhere.safetensors")
    ran = run_here("resume", "one", "--trials", "1", "--json")
    assert ran.code == 0, ran.err
    trials = ran.last_json["trials"]
    assert (trials["complete"] + trials["pruned"], trials["failed"]) == (2, 0), ran.err
    bundle = load_bundle(tmp_path / ran.last_json["bundle"])
    assert bundle.manifest["backbone"]["name"] == "resnet.safetensors"
    assert bundle.manifest["artifacts"][0]["parity"]["holds"]
    recipe = bundle.folder / "recipe.yaml"
    assert '--backbone "resnet.safetensors"' in recipe.read_text()
    again = ("search", "photos", "--recipe", str(recipe), "--dry-run")
    refused = run_here(*again)
    assert (refused.code, "was given: --backbone FILE" in " ".join(refused.err.split())) == (2, True), refused.err
    assert run_here(*again, "--backbone", "elsewhere.safetensors").code == 0
