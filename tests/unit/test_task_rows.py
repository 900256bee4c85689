"""Rows to predict: which columns are needed, and what is told when they are not as in training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support_task import frame_text, plain_frame, write

from autoopt.errors import DataError
from autoopt.task import rows as raw_rows
from autoopt.task.sources.dispatch import read_table

NUMBERS, CATEGORIES = ("height", "visits", "member"), ("colour",)


def rows_of(source: object) -> pd.DataFrame:
    table = read_table(source)  # type: ignore[arg-type]
    return raw_rows.rows_of(table, number_columns=NUMBERS, category_columns=CATEGORIES)


def test_the_target_is_not_needed_and_other_columns_are_ignored(tmp_path: Path) -> None:
    frame = plain_frame(5).drop(columns="label").assign(other=[[1]] * 5)
    frame = frame[["other", "colour", "visits", "height", "member"]]
    text = write(tmp_path / "new.csv", frame_text(frame.drop(columns="other").assign(other=1)))
    for source in (frame, text):
        rows = rows_of(source)
        assert rows.columns.tolist() == [*NUMBERS, *CATEGORIES]
        np.testing.assert_array_equal(rows["height"], frame["height"])
        np.testing.assert_array_equal(rows["member"], frame["member"].astype(float))
        assert rows["colour"].tolist() == frame["colour"].tolist()


def test_missing_values_and_single_rows(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "new.csv", "height,visits,colour,member\nNA,?,,\n"))
    assert np.isnan(rows[list(NUMBERS)].to_numpy()).all()
    assert rows["colour"].tolist() == [""]


def test_every_missing_column_is_told_with_what_it_may_be() -> None:
    frame = plain_frame(5).rename(columns={"height": "Height ", "colour": "color"})
    with pytest.raises(DataError) as caught:
        rows_of(frame.drop(columns="visits"))
    message = str(caught.value)
    for fragment in ("3 columns of 4", "'height'", "'visits'", "'colour'", "'colour' may be 'color'"):
        assert fragment in message


def test_texts_and_infinities_among_numbers_are_told_together(tmp_path: Path) -> None:
    frame = plain_frame(6)
    frame["height"] = ["tall", *frame["height"].tolist()[1:]]
    frame["visits"] = [1.0, np.inf, 3.0, 4.0, 5.0, 6.0]
    with pytest.raises(DataError) as caught:
        rows_of(write(tmp_path / "new.csv", frame_text(frame)))
    told = str(caught.value)
    assert "holds 'tall' in 1 row (row 2)" in told
    assert "infinite values in 1 row (row 3)" in told


def test_ragged_rows_and_files_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3 has 2"):
        rows_of(write(tmp_path / "new.csv", "height,visits,colour,member\n1,2,red,True\n1,2\n"))
    with pytest.raises(DataError, match="no rows"):
        rows_of(write(tmp_path / "new.csv", "height,visits,colour,member\n"))


def test_doubled_columns_matter_only_where_they_are_needed() -> None:
    frame = plain_frame(5)
    twice = pd.concat([frame, frame[["label"]]], axis=1)
    assert len(rows_of(twice)) == 5
    with pytest.raises(DataError, match="Duplicate"):
        rows_of(pd.concat([frame, frame[["colour"]]], axis=1))
