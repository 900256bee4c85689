"""Folders, archives and tables of images become tasks: classes, splits, sizes, and what is told about them."""

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_images import encoded, noise, write_classes, write_picture

from autoopt.files.pictures import decode
from autoopt.task import Kind, Modality, Snapshot, TaskOptions, prepare_task
from autoopt.task.assemble import PreparedTask
from autoopt.task.images import decoding
from autoopt.task.images.decoding import put_in_order

PARTS = ("train", "valid", "test")
COUNTS = {"ant": 20, "bee": 15, "cat": 12}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "photos", COUNTS)


def prepared(source: Any, **options: Any) -> PreparedTask:
    return prepare_task(source, TaskOptions(**options))


def pixels(task: PreparedTask) -> dict[bytes, tuple[str, int]]:
    """Of each different picture: its part and target."""
    return {
        picture.tobytes(): (name, int(target))
        for name in PARTS
        for picture, target in zip(task.parts[name].tensors[0], task.parts[name].target, strict=True)
    }


def test_folders_are_classes(photos: Path, tmp_path: Path) -> None:
    task = prepared(photos)
    facts = task.facts
    assert (facts.modality, facts.kind, facts.metric) == (Modality.IMAGES, Kind.MULTICLASS, "accuracy")
    assert (facts.name, facts.target, facts.classes) == ("photos", "class", ("ant", "bee", "cat"))
    assert (facts.columns, facts.numeric_classes, sum(facts.rows.values())) == ((), False, 47)
    assert [(t.name, t.dtype, t.shape) for t in facts.tensors] == [("image", "uint8", (12, 12, 3))]
    for name in PARTS:
        part = task.parts[name]
        assert len(part.tensors[0]) == len(part.target) == len(part.row_ids) == facts.rows[name]
        assert set(part.target) == {0, 1, 2}
    found = pixels(task)
    for k, label in enumerate(facts.classes):
        for path in (photos / label).iterdir():
            assert found[decode(path.read_bytes(), 12, 12).tobytes()][1] == k
    task.save(tmp_path / "snapshot")
    opened = Snapshot.open(tmp_path / "snapshot").verify()
    assert opened.facts == facts
    np.testing.assert_array_equal(opened.part("train").tensors[0], task.parts["train"].tensors[0])


def test_two_classes_are_binary(tmp_path: Path) -> None:
    facts = prepared(write_classes(tmp_path / "x", {"no": 20, "yes": 20})).facts
    assert (facts.kind, facts.metric, facts.positive_class) == (Kind.BINARY, "roc_auc", "yes")
    assert any("f1 is about the class 'yes'" in w for w in prepared(tmp_path / "x", metric="f1").facts.warnings)


def test_names_of_classes_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    facts = prepared(write_classes(tmp_path / "x", {"10": 9, "9": 9, "nan": 9, "01": 9})).facts
    assert facts.classes == ("01", "10", "9", "nan")
    assert not facts.numeric_classes


def test_folders_below_a_class_belong_to_it(photos: Path) -> None:
    before = prepared(photos)
    (photos / "ant" / "2024" / "may").mkdir(parents=True)
    shutil.move(photos / "ant" / "003.png", photos / "ant" / "2024" / "may" / "x.png")
    after = prepared(photos)
    assert after.facts.classes == before.facts.classes
    assert pixels(after) == pixels(before)


def _tar(target: Path, folder: Path, top: str, mode: Any) -> Path:
    with tarfile.open(target, mode) as tar:
        if top:
            tar.add(folder, top)
        for inner in () if top else sorted(folder.iterdir()):
            tar.add(inner, inner.name)
    return target


def _zip(target: Path, folder: Path, top: str) -> Path:
    with zipfile.ZipFile(target, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, Path(top) / path.relative_to(folder))
    return target


@pytest.mark.parametrize("top", ["", "photos", "./photos"])
def test_an_archive_is_the_folder_it_was_made_of(photos: Path, tmp_path: Path, top: str) -> None:
    expected = prepared(photos)
    archives = [
        _tar(tmp_path / "a.tar", photos, top, "w"),
        _tar(tmp_path / "a.tar.gz", photos, top, "w:gz"),
        _tar(tmp_path / "a.TGZ", photos, top, "w:gz"),
        _zip(tmp_path / "a.zip", photos, top),
    ]
    before = sorted(tmp_path.rglob("*"))
    for archive in archives:
        task = prepared(archive)
        assert task.facts.fingerprint == expected.facts.fingerprint
        assert task.facts.name == archive.name
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_members_that_lead_elsewhere_are_not_followed(photos: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png", seed=5)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(photos, "photos")
        content = encoded(noise(seed=6))
        outside = tarfile.TarInfo("photos/../../ant/evil.png")
        outside.size = len(content)
        tar.addfile(outside, io.BytesIO(content))
        link = tarfile.TarInfo("photos/ant/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        tar.addfile(link)
        pipe = tarfile.TarInfo("photos/ant/pipe.png")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
    found = prepared(tmp_path / "a.tar")
    assert pixels(found) == pixels(prepared(photos))
    assert any("photos/../../ant/evil.png" in w for w in found.facts.warnings)


def test_what_systems_leave_behind_is_not_told(photos: Path, tmp_path: Path) -> None:
    for name in (".DS_Store", "ant/.DS_Store", "ant/._001.png", "__MACOSX/ant/._001.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"x")
    for source in (photos, _zip(tmp_path / "a.zip", photos, "photos")):
        facts = prepared(source).facts
        assert [w for w in facts.warnings if "few" not in w] == []
        assert sum(facts.rows.values()) == 47


def test_equal_images_never_lie_in_two_parts(photos: Path) -> None:
    for label in COUNTS:
        for k in range(8):  # the same pixels in another file
            content = encoded(decode((photos / label / f"{k:03d}.png").read_bytes(), 12, 12), "BMP")
            (photos / label / f"twin{k}.bmp").write_bytes(content)
    for seed in range(5):
        task = prepared(photos, seed=seed)
        assert sum(task.facts.rows.values()) == 47 + 24
        where: dict[bytes, set[str]] = {}
        for name in PARTS:
            for picture in task.parts[name].tensors[0]:
                where.setdefault(picture.tobytes(), set()).add(name)
        assert all(len(parts) == 1 for parts in where.values())
        assert len(where) == 47


def test_an_image_that_lies_in_two_classes_lies_in_one_part(tmp_path: Path) -> None:
    write_classes(tmp_path / "x", {"a": 60, "b": 20}, height=8, width=8)
    for path in sorted((tmp_path / "x" / "a").iterdir()):
        shutil.copy(path, tmp_path / "x" / "b" / f"again_{path.name}")
    for seed in range(5):
        task = prepared(tmp_path / "x", seed=seed)
        where: dict[bytes, set[str]] = {}
        for name in PARTS:
            for picture in task.parts[name].tensors[0]:
                where.setdefault(picture.tobytes(), set()).add(name)
        assert {len(parts) for parts in where.values()} == {1}


def test_the_seed_decides_the_split_and_the_order_of_files_does_not(photos: Path, tmp_path: Path) -> None:
    first, again, other = prepared(photos), prepared(photos), prepared(photos, seed=1)
    assert first.facts.fingerprint == again.facts.fingerprint != other.facts.fingerprint
    assert pixels(first) != pixels(other)
    renamed = tmp_path / "renamed"
    for path in sorted(photos.rglob("*.png")):
        (renamed / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, renamed / path.parent.name / f"{999 - int(path.stem)}.png")
    assert pixels(prepared(renamed)) == pixels(first)


def test_the_first_rows_of_a_part_are_of_all_classes(tmp_path: Path) -> None:
    task = prepared(write_classes(tmp_path / "x", {"a": 60, "b": 60}, height=8, width=8))
    assert 3 <= int(task.parts["train"].target[:20].sum()) <= 17


# --- splits that are given


def _split(folder: Path, *parts: str) -> Path:
    for k, part in enumerate(parts):
        write_classes(folder / part, {"a": 12, "b": 12})
        for j, path in enumerate(sorted((folder / part).rglob("*.png"))):
            write_picture(path, seed=10_000 * (k + 1) + j)
    return folder


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Train", "VAL", "test"), ("training", "dev", "testing")]
)
def test_folders_may_be_the_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    facts = prepared(_split(tmp_path / "x", *names)).facts
    assert facts.rows == {"train": 24, "valid": 24, "test": 24}
    assert facts.classes == ("a", "b")
    assert facts.split == "as the folders train, valid and test say"


@pytest.mark.parametrize(("given", "lacking"), [("test", "valid"), ("val", "test")])
def test_a_part_that_is_not_there_is_taken_from_train(tmp_path: Path, given: str, lacking: str) -> None:
    facts = prepared(_split(tmp_path / "x", "train", given)).facts
    kept = {"val": "valid"}.get(given, given)
    assert facts.rows[kept] == 24
    assert facts.rows["train"] + facts.rows[lacking] == 24
    assert 2 <= facts.rows[lacking] <= 8
    assert f"{lacking} taken from train" in facts.split
    assert any(f"no folder {lacking}" in w for w in facts.warnings)


def test_train_alone_is_the_folder_of_classes(tmp_path: Path) -> None:
    facts = prepared(_split(tmp_path / "x", "train")).facts
    assert sum(facts.rows.values()) == 24
    assert "by a hash" in facts.split


def test_train_may_be_a_class(tmp_path: Path) -> None:
    facts = prepared(write_classes(tmp_path / "x", {"bus": 15, "train": 15})).facts
    assert facts.classes == ("bus", "train")


def test_images_in_two_given_parts_are_told(tmp_path: Path) -> None:
    folder = _split(tmp_path / "x", "train", "valid", "test")
    shutil.copy(folder / "train" / "a" / "000.png", folder / "test" / "a" / "again.png")
    warnings = prepared(folder).facts.warnings
    assert any("1 image of test is in train too" in w for w in warnings)


# --- sizes


def test_images_of_one_size_stay_as_they_are(tmp_path: Path) -> None:
    assert prepared(write_classes(tmp_path / "x", {"a": 12, "b": 12}, height=9, width=20)).facts.tensors[0].shape == (
        9,
        20,
        3,
    )


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(30, 50), (33, 40)], 32),  # the median shorter side is 31.5
        ([(10, 10), (11, 11)], 16),  # the least
        ([(200, 300), (200, 300)], 128),  # of one size, but large
        ([(4, 4), (4, 4)], 16),  # of one size, but tiny
    ],
)
def test_images_of_other_sizes_become_squares(tmp_path: Path, sizes: list[tuple[int, int]], side: int) -> None:
    for k in range(24):
        height, width = sizes[k % 2]
        write_picture(tmp_path / "x" / "ab"[k // 12] / f"{k}.png", noise(height, width, k))
    assert prepared(tmp_path / "x").facts.tensors[0].shape == (side, side, 3)


@pytest.mark.parametrize("size", [8, 40])
def test_the_size_can_be_asked_for(photos: Path, size: int) -> None:
    task = prepared(photos, image_size=size)
    assert task.facts.tensors[0].shape == (size, size, 3)
    found = pixels(task)
    for path in photos.rglob("*.png"):
        assert decode(path.read_bytes(), size, size).tobytes() in found


def test_large_sets_are_kept_in_a_file_and_come_out_the_same(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = prepared(photos)
    monkeypatch.setattr(decoding, "_IN_MEMORY_BYTES", 100)
    task = prepared(photos)
    held: Any = task.parts["train"].tensors[0]
    while isinstance(held, np.ndarray) and not isinstance(held, np.memmap):
        held = held.base
    assert isinstance(held, np.memmap)
    assert task.facts == expected.facts
    assert pixels(task) == pixels(expected)


@given(st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_put_in_order_is_indexing(order: list[int]) -> None:
    found = np.arange(len(order) * 2, dtype=np.uint8).reshape(-1, 2)
    expected = found[order]
    put_in_order(found, np.array(order, dtype=np.int64))
    np.testing.assert_array_equal(found, expected)


# --- what is left out


def test_a_few_damaged_images_are_left_out_and_told(photos: Path) -> None:
    (photos / "ant" / "000.png").write_text("no image at all")
    (photos / "bee" / "001.png").write_bytes((photos / "bee" / "001.png").read_bytes()[:100])
    facts = prepared(photos).facts
    assert sum(facts.rows.values()) == 45
    (told,) = [w for w in facts.warnings if "cannot be read" in w]
    assert "2 of 47 images" in told
    assert "ant/000.png is no image" in told
    assert "bee/001.png is cut short" in told


def test_other_files_loose_images_and_empty_folders_are_told(photos: Path) -> None:
    (photos / "Thumbs.db").write_bytes(b"x")
    (photos / "ant" / "README.md").write_bytes(b"x")
    (photos / "dog").mkdir()
    write_picture(photos / "loose.png", seed=1)
    write_picture(photos / "ant" / "dot.png", noise(1, 1))
    facts = prepared(photos).facts
    assert facts.classes == ("ant", "bee", "cat")
    told = "\n".join(facts.warnings)
    for says in (
        "2 files are no images",
        "'Thumbs.db', 'ant/README.md'",
        "'loose.png'",
        "without an image are left out: 'dog'",
        "1 image of fewer than 8 pixels",
    ):
        assert says in told


def test_links_are_followed_but_not_in_a_circle(photos: Path, tmp_path: Path) -> None:
    write_classes(tmp_path / "elsewhere", {"dog": 10})
    (photos / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (photos / "ant" / "up").symlink_to(photos)
    facts = prepared(photos).facts
    assert facts.classes == ("ant", "bee", "cat", "dog")
    assert sum(facts.rows.values()) == 57
    assert any("ant/up" in w for w in facts.warnings)


def test_a_pipe_is_not_waited_for(photos: Path) -> None:
    os.mkfifo(photos / "ant" / "pipe.png")
    assert any("ant/pipe.png is no file" in w for w in prepared(photos).facts.warnings)


# --- tables


def _table(photos: Path) -> pd.DataFrame:
    paths = sorted(photos.rglob("*.png"))
    return pd.DataFrame(
        {
            "path": [str(p.relative_to(photos.parent)) for p in paths],
            "label": [p.parent.name for p in paths],
            "age": [k * 1.25 for k in range(len(paths))],
            "part": [("train", "valid", "test")[k % 3] for k in range(len(paths))],
        }
    )


def test_a_table_of_paths_and_labels(photos: Path) -> None:
    _table(photos)[["path", "label"]].to_csv(photos.parent / "t.csv", index=False)
    _table(photos)[["path", "label"]].to_parquet(photos.parent / "t.parquet")
    by_csv = prepared(photos.parent / "t.csv", image="path", target="label")
    by_parquet = prepared(photos.parent / "t.parquet", image="path", target="label")
    assert pixels(by_csv) == pixels(by_parquet) == pixels(prepared(photos))
    assert (by_csv.facts.target, by_csv.facts.columns) == ("label", ())


def test_a_frame_has_absolute_paths(photos: Path) -> None:
    frame = _table(photos)
    frame["path"] = [str(photos.parent / p) for p in frame["path"]]
    assert pixels(prepared(frame, image="path", target="label")) == pixels(prepared(photos))


def test_numbers_are_learned_too(photos: Path) -> None:
    frame = _table(photos)
    frame.to_csv(photos.parent / "t.csv", index=False)
    task = prepared(photos.parent / "t.csv", image="path", target="age", split_column="part")
    assert (task.facts.kind, task.facts.metric, task.facts.classes) == (Kind.REGRESSION, "rmse", ())
    assert task.facts.rows == {"train": 16, "valid": 16, "test": 15}
    for name in PARTS:
        part = task.parts[name]
        for picture, target, row in zip(part.tensors[0], part.target, part.row_ids, strict=True):
            line = frame.iloc[int(row) - 2]  # row 1 is the header
            assert (line["part"], line["age"]) == (name, target)
            assert decode((photos.parent / line["path"]).read_bytes(), 12, 12).tobytes() == picture.tobytes()


def test_rows_of_damaged_files_are_left_out(photos: Path) -> None:
    frame = _table(photos)
    frame.loc[3, "path"] = "photos/ant/gone.png"
    frame.loc[5, "path"] = None
    frame.to_csv(photos.parent / "t.csv", index=False)
    task = prepared(photos.parent / "t.csv", image="path", target="label")
    rows = np.sort(np.concatenate([task.parts[name].row_ids for name in PARTS]))
    assert rows.tolist() == [k for k in range(2, 49) if k not in (5, 7)]
    told = "\n".join(task.facts.warnings)
    assert "photos/ant/gone.png is not there" in told
    assert "'age', 'part'" in told


def test_the_demo() -> None:
    facts = prepared("demo:digit_images").facts
    assert (facts.name, sum(facts.rows.values())) == ("demo:digit_images", 1797)
    assert facts.classes == tuple("0123456789")
    assert facts.tensors[0].shape == (16, 16, 3)
