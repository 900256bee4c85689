"""The front for images, tensors and texts: what people hold becomes the graph's arrays, or one message."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autoopt.errors import BundleError, DataError
from autoopt.runtime import Front, FrontInput, front_json, rows_at_once

PHOTO = np.random.default_rng(3).integers(0, 256, (24, 36, 3), dtype=np.uint8)


def front(*arrays: FrontInput, texts: tuple[str, ...] = ()) -> Front:
    plain = {"kind": "binary", "classes": ["no", "yes"], "numeric_classes": False, "target": "y"}
    return Front.parse(front_json(number_columns=[], category_columns=[], text_columns=texts, arrays=arrays, **plain))  # type: ignore[arg-type]


IMAGES = front(FrontInput.image("image", 24, 36))
TENSORS = front(FrontInput.tensor("signal", "float32", (2, 3)), FrontInput.tensor("ids", "int64", (4,)))


def png(pixels: np.ndarray = PHOTO) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_round_trip_through_json() -> None:
    for found in (IMAGES, TENSORS, front(texts=("title", "body"))):
        assert Front.parse(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("shape", [[24, 36], [24, 36, 4], [0, 36, 3]])
def test_a_damaged_image_input_is_no_traceback(shape: list[int]) -> None:
    raw = IMAGES.to_json()
    raw["inputs"][0]["shape"] = shape
    with pytest.raises(BundleError, match="Export again"):
        Front.parse(raw)


def test_texts_are_columns_of_text() -> None:
    feed = front(texts=("title", "scores")).feed(pd.DataFrame({"title": ["a", None, 5], "scores": ["Łódź", "", "x"]}))
    assert feed["title"].tolist() == [["a"], [""], ["5"]]
    assert feed["scores_"].tolist() == [["Łódź"], [""], ["x"]]


def test_an_image_in_any_dress(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png())
    dresses = [str(path), path, png(), bytearray(png()), uri(png()), PHOTO, Image.fromarray(PHOTO)]
    for values in (dresses, tuple(dresses), pd.Series(dresses, dtype=object)):
        feed = IMAGES.feed({"image": values})["image"]
        assert feed.dtype == np.uint8
        assert feed.shape == (len(dresses), 24, 36, 3)
        assert all(np.array_equal(pixels, PHOTO) for pixels in feed)


@pytest.mark.parametrize("one", [PHOTO, uri(png()), png(), Image.fromarray(PHOTO)])
def test_a_single_image_is_one_row(one: object) -> None:
    assert np.array_equal(IMAGES.feed({"image": one})["image"], PHOTO[None])


def test_arrays_of_the_stored_size_are_taken_as_they_are() -> None:
    rows = np.stack([PHOTO, PHOTO])
    assert IMAGES.feed({"image": rows})["image"] is rows
    assert IMAGES.feed({"image": rows[:0]})["image"].shape == (0, 24, 36, 3)
    assert IMAGES.feed({"image": []})["image"].shape == (0, 24, 36, 3)


def test_grey_and_other_sizes_are_fitted() -> None:
    grey = np.full((48, 72), 90, dtype=np.uint8)
    palette = Image.fromarray(PHOTO).convert("P")
    found = IMAGES.feed({"image": [grey, Image.fromarray(grey), palette, Image.fromarray(PHOTO).convert("CMYK")]})
    assert (found["image"][:2] == 90).all()
    assert found["image"].shape == (4, 24, 36, 3)


def test_every_image_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    (tmp_path / "cut.png").write_bytes(png()[:200])
    bad = [tmp_path / "notes.jpg", str(tmp_path / "cut.png"), tmp_path / "gone.png", tmp_path, "", None, PHOTO / 255, 5]
    with pytest.raises(DataError) as caught:
        IMAGES.feed({"image": [PHOTO, *bad[:5]]})
    message = str(caught.value)
    for told in ("5 of 6 images in 'image'", "notes.jpg is no image", "cut.png is cut short", "gone.png is not there"):
        assert told in message
    assert "row 6 is empty" in message
    with pytest.raises(DataError) as caught:
        IMAGES.feed({"image": [*bad, "data:image/png;base64,§"]})
    assert "; and 4 more" in str(caught.value)
    for one, told in zip(bad[5:], ("is empty", "float64 array", "type int"), strict=True):
        with pytest.raises(DataError, match=told):
            IMAGES.feed({"image": [one]})


def test_tensors_of_the_right_shape() -> None:
    signal, ids = np.arange(12.0).reshape(2, 2, 3), np.arange(8).reshape(2, 4)
    for given_signal, given_ids in (
        (signal, ids),
        (signal.tolist(), ids.astype(np.int16)),
        (pd.Series(list(signal)), ids.astype(float)),
    ):
        feed = TENSORS.feed({"signal": given_signal, "ids": given_ids})
        assert feed["signal"].dtype == np.float32
        assert feed["ids"].dtype == np.int64
        assert np.array_equal(feed["signal"], signal)
        assert np.array_equal(feed["ids"], ids)


def test_wrong_tensors_are_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        TENSORS.feed({"signal": np.zeros((5, 3, 2)), "ids": np.full((5, 4), 0.5)})
    assert "'signal' must be (rows, 2, 3); it is an array (5, 3, 2)" in str(caught.value)
    assert "'ids' must be int64; it is float64" in str(caught.value)
    for wrong in ([[1, 2, 3, 4], [1]], "text", [["a"] * 4], None, np.array([[np.inf] * 4])):
        with pytest.raises(DataError, match="'ids' must be"):
            TENSORS.feed({"signal": np.zeros((1, 2, 3)), "ids": wrong})


@given(texts=st.booleans(), row_bytes=st.integers(0, 10**9))
def test_rows_of_a_call_are_few_where_they_are_large(texts: bool, row_bytes: int) -> None:
    rows = rows_at_once(texts=texts, row_bytes=row_bytes)
    assert 1 <= rows <= 8192
    assert rows == 1 or rows * row_bytes <= 1 << 20
