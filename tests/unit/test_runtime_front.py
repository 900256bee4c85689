"""The front: columns as people have them become the graph's feed, or one message with all that is wrong."""

import json
import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.errors import BundleError, DataError
from autoopt.runtime import Front, cell_number, cell_text, front_json, graph_input_name
from autoopt.runtime.cells import MISSING_SPELLINGS
from autoopt.task.parsing import MISSING_SPELLINGS as IN_TRAINING

FRONT = Front.parse(
    front_json(
        number_columns=["age", "paid"],
        category_columns=["ville"],
        kind="binary",
        classes=["no", "yes"],
        numeric_classes=False,
        target="y",
    )
)


def numbers(values: object) -> list[float]:
    return FRONT.feed({"age": values, "paid": values, "ville": values})["age"].ravel().tolist()


def texts(values: object) -> list[str]:
    blank = [None] * len(values)  # type: ignore[arg-type]
    return FRONT.feed({"age": blank, "paid": blank, "ville": values})["ville"].ravel().tolist()


def test_round_trip_through_json(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    path.write_text(json.dumps(FRONT.to_json(), ensure_ascii=False), encoding="utf-8")
    assert Front.read(path) == FRONT


def test_shapes_and_types() -> None:
    feed = FRONT.feed({"age": [1, 2], "paid": [True, False], "ville": ["Zürich", None], "ignored": [0, 0]})
    assert list(feed) == ["age", "paid", "ville"]
    assert feed["age"].dtype == np.float64
    assert feed["age"].shape == (2, 1)
    assert feed["paid"].ravel().tolist() == [1.0, 0.0]
    assert feed["ville"].dtype == object
    assert feed["ville"].ravel().tolist() == ["Zürich", ""]


@pytest.mark.parametrize(
    "values",
    [
        [1, None, 2.5],
        ["1", "", "2.5"],
        [" 1 ", "NA", "+2.5e0"],
        np.array([1.0, np.nan, 2.5]),
        np.array([1, None, "2.5"], dtype=object),
        pd.Series([1.0, np.nan, 2.5]),
        pd.Series([1, None, 2.5], dtype="Float64"),
        pd.Series(["1", None, "2.5"]),
        pa.array([1.0, None, 2.5]),
        (np.float32(1), pd.NA, np.float64(2.5)),
    ],
)
def test_numbers_in_any_dress(values: object) -> None:
    found = numbers(values)
    assert found[0] == 1.0
    assert math.isnan(found[1])
    assert found[2] == 2.5


@pytest.mark.parametrize("values", [[True, False], ["true", "False"], np.array([1, 0]), pd.Series([True, False])])
def test_booleans_are_one_and_zero(values: object) -> None:
    assert numbers(values) == [1.0, 0.0]


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "5"],
        ["a", float("nan"), 5],
        np.array(["a", None, 5.0], dtype=object),
        pd.Series(["a", None, "5"]),
        pd.Series(["a", pd.NA, "5"], dtype="string"),
        pd.Series(["a", None, "5"], dtype="category"),
        pd.Series(["a", pd.NaT, np.int64(5)], dtype=object),
        pa.array(["a", None, "5"]),
        [b"a", b"", "5"],
    ],
)
def test_texts_in_any_dress(values: object) -> None:
    assert texts(values) == ["a", "", "5"]


def test_numbers_as_categories_read_as_in_a_file() -> None:
    assert texts([5, 5.0, 0.1, -3.0, 1e300, np.int8(7)]) == ["5", "5", "0.1", "-3", "1e+300", "7"]
    assert texts([True, np.False_]) == ["True", "False"]
    assert texts(["\ud800x"]) == ["?x"]


def test_one_row_of_scalars_and_no_rows() -> None:
    feed = FRONT.feed({"age": 3, "paid": "1", "ville": "Bern"})
    assert [a.shape for a in feed.values()] == [(1, 1)] * 3
    assert [a.shape for a in FRONT.feed({"age": [], "paid": [], "ville": []}).values()] == [(0, 1)] * 3


def test_frames_with_blanks_around_names() -> None:
    frame = pd.DataFrame({" age": [1], "paid ": [0], "ville": ["x"]}, index=[7])
    assert FRONT.feed(frame)["age"].tolist() == [[1.0]]


def test_all_missing_columns_are_told_at_once() -> None:
    with pytest.raises(DataError, match=r"2 of 3 columns.*'age', 'ville'"):
        FRONT.feed({"paid": [1]})


def test_every_bad_cell_and_length_is_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        FRONT.feed({"age": ["12", "old"] + ["x"] * 9, "paid": [date(2020, 1, 1)], "ville": ["a"]})
    message = str(caught.value)
    assert "'age' must hold numbers; it holds 'old' in row 2" in message
    assert "and 5 more" in message
    assert "'paid'" in message
    assert "differ in length" in message
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("values", [["1_000"], ["1,5"], ["0x1"], np.array(["2020-01-01"], dtype="datetime64[ns]")])
def test_what_is_no_number_is_refused(values: object) -> None:
    with pytest.raises(DataError, match="must hold numbers"):
        numbers(values)


def test_spellings_of_missing_are_those_of_training() -> None:
    assert frozenset(IN_TRAINING) == MISSING_SPELLINGS
    assert all(math.isnan(cell_number(word) or 0.0) for word in MISSING_SPELLINGS)
    assert [cell_text(word) for word in sorted(MISSING_SPELLINGS)] == sorted(MISSING_SPELLINGS)


@pytest.mark.parametrize(
    "raw",
    [None, [], {}, {"version": 2}, {"version": 1}, {"version": 1, "kind": "binary", "classes": [], "inputs": [{}]}],
)
def test_a_damaged_front_is_no_traceback(raw: object) -> None:
    with pytest.raises(BundleError, match="Export again"):
        Front.parse(raw)


def test_a_front_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"front\.json cannot be read"):
        Front.read(tmp_path / "front.json")


@pytest.mark.parametrize(
    "classes, numeric, expected",
    [(["a", "b"], False, ["b", "a"]), (["1", "3"], True, [3, 1]), (["0.5", "1"], True, [1.0, 0.5])],
)
def test_labels(classes: list[str], numeric: bool, expected: list[object]) -> None:
    front = Front(inputs=(), kind="binary", classes=tuple(classes), numeric_classes=numeric, target="y")
    labels = front.labels(np.array([[0.2, 0.8], [0.6, 0.4]]))
    assert labels.tolist() == expected
    assert (labels.dtype == object) == (not numeric)


def test_values_of_a_regression() -> None:
    front = Front(inputs=(), kind="regression", classes=(), numeric_classes=False, target="y")
    assert front.labels(np.array([[1.5], [2.5]], dtype=np.float32)).tolist() == [1.5, 2.5]


@given(
    st.lists(st.text(alphabet="_fs" + "x", max_size=4) | st.sampled_from(["features", "scores", "codes", "codes_", ""]))
)
def test_input_names_keep_columns_apart_and_leave_the_outputs_alone(names: list[str]) -> None:
    found = [graph_input_name(n) for n in dict.fromkeys(names)]
    assert len(set(found)) == len(found)
    assert not {"", "features", "codes", "scores"}.intersection(found)


def test_ordinary_names_stay() -> None:
    assert [graph_input_name(n) for n in ("age", "Größe (cm)", "features2")] == ["age", "Größe (cm)", "features2"]
