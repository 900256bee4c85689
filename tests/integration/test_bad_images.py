"""Bad images, one defect (or several) at a time, through the command line: one clear message, and nothing written."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support_cli import run_here, tree
from support_images import encoded, noise, write_classes, write_picture

COUNTS = {"ant": 20, "bee": 20}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    words: tuple[str, ...]
    says: tuple[str, ...]
    make: Callable[[Path], object]


CASES: list[Case] = []


def bad(words: str, *says: str) -> Callable[[Callable[[Path], object]], None]:
    """Adds a case: the words after `autoopt search`, what the message must say, and what the function makes."""

    def add(make: Callable[[Path], object]) -> None:
        CASES.append(Case(name=make.__name__, words=tuple(words.split()), says=says, make=make))

    return add


def photos(folder: Path) -> Path:
    return write_classes(folder / "photos", COUNTS)


@bad("photos", "6 of 40 images cannot be read", "ant/000.png is empty", "ant/004.png is no image", "and 1 more", "5%")
def too_many_damaged(folder: Path) -> None:
    photos(folder)
    for k in range(4):
        (folder / "photos" / "ant" / f"00{k}.png").write_bytes(b"")
    for k in range(4, 6):
        (folder / "photos" / "ant" / f"00{k}.png").write_text("a text")


@bad("photos", "only one class, 'ant'", "for each class")
def one_class(folder: Path) -> None:
    write_classes(folder / "photos", {"ant": 30})


@bad("photos", "only one class", "perhaps its folder 'inner'")
def a_folder_too_high(folder: Path) -> None:
    write_classes(folder / "photos" / "inner", COUNTS)


@bad("photos", "40 images and no folders of classes", "--image COLUMN --target COLUMN")
def no_folders(folder: Path) -> None:
    for k in range(40):
        write_picture(folder / "photos" / f"{k}.png", seed=k)


@bad("photos", "has 12 images; at least 20")
def few(folder: Path) -> None:
    write_classes(folder / "photos", {"a": 6, "b": 6})


@bad("photos", "too few images: 'cat' has 2 images", "Each needs 3")
def a_small_class(folder: Path) -> None:
    write_classes(folder / "photos", {**COUNTS, "cat": 2})


@bad("photos", "101 folders of images", "at most 100")
def too_many_classes(folder: Path) -> None:
    write_classes(folder / "photos", {f"c{k}": 1 for k in range(101)}, height=8, width=8)


@bad("photos", "train has rows of only one class")
def train_without_a_class(folder: Path) -> None:
    write_classes(folder / "photos" / "train", {"ant": 20})
    write_classes(folder / "photos" / "test", COUNTS)


@bad("photos", "no folder train")
def a_split_without_train(folder: Path) -> None:
    for part in ("valid", "test"):
        write_classes(folder / "photos" / part, COUNTS)


@bad("photos", "the parts 'test', 'train' and beside them 'extra'")
def a_split_and_more(folder: Path) -> None:
    for part in ("train", "test", "extra"):
        write_classes(folder / "photos" / part, COUNTS)


@bad("photos", "no folders of classes in them")
def a_split_without_classes(folder: Path) -> None:
    write_classes(folder / "photos", {"train": 20, "test": 20})


@bad("photos", "holds tables ('a.csv')", "Give one file")
def tables(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "a.csv").write_text("x,y\n1,2\n")


@bad("photos", "is a folder without images", ".jpg")
def nothing(folder: Path) -> None:
    (folder / "photos").mkdir()


@bad("photos --image-size 7", "--image-size 7", "8 to 512")
def too_small_a_size(folder: Path) -> None:
    photos(folder)


@bad("photos --image-size 513 --target x", "--image-size 513", "8 to 512", "--target 'x'", "has none")
def too_large_a_size_and_a_target(folder: Path) -> None:
    photos(folder)


@bad("t.csv --target y --image-size 32", "--image-size 32 is for images")
def a_size_of_a_table(folder: Path) -> None:
    pd.DataFrame({"x": range(40), "y": [k % 2 for k in range(40)]}).to_csv(folder / "t.csv", index=False)


@bad("photos --image path", "names a column", "photos is no table")
def a_column_of_a_folder(folder: Path) -> None:
    photos(folder)


@bad("photos --metric rmse", "rmse does not fit")
def a_metric_of_numbers(folder: Path) -> None:
    photos(folder)


def listed(folder: Path, **columns: object) -> None:
    """A table of the pictures of `photos`."""
    paths = sorted(photos(folder).rglob("*.png"))
    frame = pd.DataFrame({"path": [str(p.relative_to(folder)) for p in paths], "label": [p.parent.name for p in paths]})
    frame.assign(**columns).to_csv(folder / "t.csv", index=False)


@bad("t.csv --image pth --target label", "--image 'pth' is not a column", "Did you mean 'path'?")
def a_column_that_is_not_there(folder: Path) -> None:
    listed(folder)


@bad("t.csv --image path", "No --target was given")
def no_target(folder: Path) -> None:
    listed(folder)


@bad("t.csv --image label --target path", "none of the files is there ('ant'", "relative to")
def columns_mistaken(folder: Path) -> None:
    listed(folder)


@bad("t.csv --image path --target path", "One column was named for two uses")
def one_column_twice(folder: Path) -> None:
    listed(folder)


@bad("t.csv --image path --target label --split-column part", "holds 'holdout'", "Allowed: train, valid")
def a_part_of_another_name(folder: Path) -> None:
    listed(folder, part=["train", "valid", "test", "holdout"] * 10)


@bad("a.zip", "a.zip does not exist")
def no_archive(folder: Path) -> None:
    photos(folder)


@bad("a.tar", "is empty (0 bytes)")
def an_empty_archive(folder: Path) -> None:
    (folder / "a.tar").write_bytes(b"")


@bad("a.tar.gz", "cannot be read as an archive", "pack it again")
def an_archive_cut_short(folder: Path) -> None:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        tar.add(photos(folder), "photos")
    content = (folder / "a.tar.gz").read_bytes()
    (folder / "a.tar.gz").write_bytes(content[: len(content) // 2])


@bad("a.zip", "cannot be read as an archive")
def a_text_named_zip(folder: Path) -> None:
    (folder / "a.zip").write_text("no archive\n" * 100)


@bad("a.zip", "is an archive without images; it holds tables")
def a_zip_of_a_table(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        file.writestr("t.csv", "x,y\n1,2\n")


@bad("a.tar.gz", "unpacks to more than")
def a_bomb(folder: Path) -> None:
    size = 64 << 20
    with gzip.open(folder / "a.tar.gz", "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for label in ("a", "b"):
            member = tarfile.TarInfo(f"{label}/x.png")
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))


@bad("a.zip", "unpacks to more than")
def a_zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for label in ("a", "b"):
            file.writestr(f"{label}/x.png", bytes(64 << 20))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_told_and_nothing_is_written(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    case.make(folder)
    monkeypatch.chdir(folder)
    before = tree(tmp_path)
    ran = run_here("search", *case.words, "--dry-run")
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    told = " ".join(ran.err.split())  # lines are broken where the terminal ends
    for says in case.says:
        assert says in told, ran.err
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos(tmp_path) / "ant").chmod(0)
    monkeypatch.chdir(tmp_path)
    ran = run_here("search", "photos", "--dry-run")
    (tmp_path / "photos" / "ant").chmod(0o700)
    assert ran.code == 2
    assert "cannot be read" in ran.err


def test_a_few_bad_images_are_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path)
    (folder / "ant" / "000.png").write_bytes(encoded(noise())[:200])
    (folder / "bee" / "Thumbs.db").write_bytes(b"x")
    (folder / "none").mkdir()
    choices = "model: [residual_net]\n  resolution: [full, three_quarters, half]"
    (tmp_path / "space.yaml").write_text(f"name: small\ndimensions:\n  {choices}\n")
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    ran = run_here("search", "photos", "--dry-run", "--space", "./space.yaml")
    assert ran.code == 0, ran.err
    told = " ".join(ran.out.split())
    for says in (
        "39 images",
        "12 × 12 pixels",
        "2 classes (ant, bee)",
        "1 of 40 images cannot be read and are left out: ant/000.png is cut short",
        "1 file is no image",
        "left out: 'none'",
        "resolution=half: of 12x12 pixels 6 a side would be left, and 8 are the least",
    ):
        assert says in told, ran.out
    assert tree(tmp_path) == before
