"""The snapshot on disk: what it gives back, that damage is found, and that nothing is half written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support_task import frame_text, options, plain_frame, write

from autoopt.errors import DataError
from autoopt.task import Snapshot, prepare_task
from autoopt.task.splits import PARTS


def saved(folder: Path, frame: pd.DataFrame) -> Snapshot:
    prepare_task(frame, options()).save(folder / "task")
    return Snapshot.open(folder / "task")


def gapped_frame() -> pd.DataFrame:
    frame = plain_frame()
    frame.loc[::5, "height"] = np.nan
    frame.loc[::7, "colour"] = None
    return frame


def test_parts_hold_the_rows_of_the_file(tmp_path: Path) -> None:
    frame = gapped_frame()
    snapshot = saved(tmp_path, frame)
    seen = []
    for name in PARTS:
        part = snapshot.part(name)
        at = part.row_ids - 1
        seen += at.tolist()
        assert part.numbers.dtype == np.float64
        assert part.numbers.flags.c_contiguous
        assert part.categories.dtype == object
        expected = frame.iloc[at]
        np.testing.assert_array_equal(part.numbers[:, 0], expected["height"])
        np.testing.assert_array_equal(part.numbers[:, 2], expected["member"].astype(float))
        assert part.categories[:, 0].tolist() == expected["colour"].fillna("").tolist()
        assert [snapshot.facts.classes[k] for k in part.target] == expected["label"].tolist()
    assert sorted(seen) == list(range(len(frame)))
    assert snapshot.facts.rows == {n: snapshot.part(n).rows for n in PARTS}


def test_a_frame_has_the_columns_as_the_file_has_them(tmp_path: Path) -> None:
    frame = gapped_frame()
    snapshot = saved(tmp_path, frame)
    rows = np.array([4, 0, 9])
    got = snapshot.frame("valid", rows)
    expected = frame.iloc[snapshot.part("valid").row_ids[rows] - 1].drop(columns="label").reset_index(drop=True)
    assert got.columns.tolist() == ["height", "visits", "colour", "member"]
    assert got["visits"].dtype == np.int64
    assert got["member"].dtype == bool
    plain = [f.astype(object).where(f.notna(), None) for f in (got, expected)]  # a gap in texts is None or NaN
    pd.testing.assert_frame_equal(*plain)
    assert len(snapshot.frame("test")) == snapshot.facts.rows["test"]


def test_a_task_of_categories_alone(tmp_path: Path) -> None:
    frame = plain_frame(400)[["colour", "label"]]
    frame["shape"] = np.random.default_rng(0).choice(["round", "flat"], 400)
    part = saved(tmp_path, frame).part("train")
    assert part.numbers.shape == (part.rows, 0)
    assert part.categories.shape == (part.rows, 2)


def test_a_sound_snapshot_is_kept_and_a_damaged_one_is_written_again(tmp_path: Path) -> None:
    task = prepare_task(plain_frame(), options())
    task.save(tmp_path / "task")
    before = (tmp_path / "task" / "snapshot.json").stat().st_mtime_ns
    task.save(tmp_path / "task")
    assert (tmp_path / "task" / "snapshot.json").stat().st_mtime_ns == before
    (tmp_path / "task" / "test.numbers.npy").write_bytes(b"")
    task.save(tmp_path / "task")
    Snapshot.open(tmp_path / "task").verify()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("file", ["train.numbers.npy", "train.codes.npy", "train.target.npy", "train.row_ids.npy"])
def test_one_flipped_bit_in_a_part_is_found(tmp_path: Path, file: str) -> None:
    saved(tmp_path, plain_frame())
    path = tmp_path / "task" / file
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 0x10
    path.write_bytes(raw)
    snapshot = Snapshot.open(tmp_path / "task")
    with pytest.raises(DataError, match=file):
        snapshot.part("train")
    assert snapshot.part("valid").rows, "the other parts are whole"


@pytest.mark.parametrize("change", [("yes", "yea"), ("height", "weight"), ('"version": 1', '"version": 9'), ("}", "")])
def test_a_changed_manifest_is_found(tmp_path: Path, change: tuple[str, str]) -> None:
    saved(tmp_path, plain_frame())
    path = tmp_path / "task" / "snapshot.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(DataError, match=r"damaged|another version"):
        Snapshot.open(tmp_path / "task")


def test_a_folder_that_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"snapshot\.json"):
        Snapshot.open(tmp_path)


def test_writing_to_a_part_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    snapshot = saved(tmp_path, plain_frame())
    snapshot.part("train").numbers[:] = 0
    Snapshot.open(tmp_path / "task").verify()


def test_the_fingerprint_is_of_content_and_split(tmp_path: Path) -> None:
    frame = plain_frame()
    path = write(tmp_path / "one.csv", frame_text(frame))
    same = write(tmp_path / "two.csv", frame_text(frame).replace("\n", "\r\n"))
    fingerprint = prepare_task(path, options()).facts.fingerprint
    assert prepare_task(same, options()).facts.fingerprint == fingerprint
    assert prepare_task(path, options(seed=1)).facts.fingerprint != fingerprint
    assert prepare_task(path, options(metric="accuracy")).facts.fingerprint != fingerprint
    frame.loc[3, "height"] += 0.01
    assert prepare_task(write(path, frame_text(frame)), options()).facts.fingerprint != fingerprint
