"""Bad data, one defect (or several) at a time: one clear message with counts, rows and the mend, and nothing written.

Each case is a function that makes a source in a folder, the options, and what the message must say.
"""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_task import csv_text, frame_text, options, plain_frame, write, write_hdf5

from autoopt.errors import DataError, InputError, OptionError
from autoopt.task import TaskOptions, prepare_task


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    source: Callable[[Path], Any]
    says: tuple[str, ...]
    options: TaskOptions
    error: type[InputError]


CASES: list[Case] = []


def bad(*says: str, error: type[InputError] = DataError, **given: Any) -> Callable[[Callable[[Path], Any]], None]:
    """Adds a case: the decorated function makes the source, `given` are options."""

    def add(make: Callable[[Path], Any]) -> None:
        CASES.append(Case(name=make.__name__, source=make, says=says, options=options(**given), error=error))

    return add


def lines(**changed: Any) -> list[str]:
    """The lines of a sound CSV; `changed` maps '_3' to the text of line 3 (1-based; the header is line 1)."""
    found = frame_text(plain_frame()).splitlines()
    for number, text in changed.items():
        found[int(number[1:]) - 1] = text
    return found


def csv(folder: Path, content: list[str] | str | bytes, name: str = "data.csv") -> Path:
    return write(folder / name, "\n".join(content) + "\n" if isinstance(content, list) else content)


def with_column(folder: Path, name: str, values: Any, rows: int = 120) -> Path:
    """A sound CSV with one column replaced or added."""
    frame = plain_frame(rows)
    frame[name] = values
    return csv(folder, frame_text(frame))


# --- the file itself


@bad("does not exist", "data.csv")
def file_that_is_not_there(folder: Path) -> Path:
    csv(folder, lines())
    return folder / "dta.csv"


@bad("does not exist", "demo:digits")
def demo_without_its_prefix(folder: Path) -> Path:
    return folder / "digits"


@bad("is a folder")
def a_folder(folder: Path) -> Path:
    return folder


@bad("0 bytes")
def empty_file(folder: Path) -> Path:
    return csv(folder, b"")


@bad("is empty", "header")
def only_blank_lines(folder: Path) -> Path:
    return csv(folder, b"\n\n  \n")


@bad("no rows")
def header_only(folder: Path) -> Path:
    return csv(folder, lines()[:1])


@bad("ending that is not known", ".parquet")
def unknown_ending(folder: Path) -> Path:
    return csv(folder, lines(), "data.json")


@bad("not a file")
def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "data.csv")
    return folder / "data.csv"


@bad("Download it")
def an_address(folder: Path) -> str:
    return "https://example.org/data.csv"


@bad("cannot be opened")
def a_name_that_is_too_long(folder: Path) -> Path:
    return folder / ("x" * 5000 + ".csv")


@bad("Excel workbook")
def a_workbook_called_csv(folder: Path) -> Path:
    return csv(folder, b"PK\x03\x04" + bytes(200))


@bad("Parquet file", ".parquet")
def parquet_called_csv(folder: Path) -> Path:
    plain_frame().to_parquet(folder / "data.csv")
    return folder / "data.csv"


# --- bytes


@bad("not UTF-8", "0xe9", "line 3", "iconv")
def latin_1(folder: Path) -> Path:
    return csv(folder, "\n".join(lines(_3="170.5,3,café,True,no")).encode("latin-1"))


@bad("UTF-16", "iconv")
def utf_16(folder: Path) -> Path:
    return csv(folder, "\n".join(lines()).encode("utf-16"))


@bad("UTF-16")
def utf_16_without_a_mark(folder: Path) -> Path:
    return csv(folder, "\n".join(lines()).encode("utf-16-le"))


@bad("2 NUL bytes", "line 4")
def nul_bytes(folder: Path) -> Path:
    return csv(folder, "\n".join(lines(_4="170.5,3,re\0d,Tr\0ue,no")))


@bad("truncated")
def gzip_cut_off(folder: Path) -> Path:
    path = write(folder / "data.csv.gz", "\n".join(lines()))
    path.write_bytes(path.read_bytes()[:-20])
    return path


@bad("damaged")
def gzip_damaged(folder: Path) -> Path:
    path = write(folder / "data.csv.gz", "\n".join(lines()))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    return path


@bad("not gzip-packed")
def plain_text_called_gz(folder: Path) -> Path:
    path = folder / "data.csv.gz"
    path.write_text("\n".join(lines()))
    return path


@bad("unpacks to more than")
def gzip_bomb(folder: Path) -> Path:
    path = folder / "data.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * (10 << 20)))
    return path


# --- structure


@bad("2 rows of 120", "header's 5 fields", "row 3 has 4", "row 9 has 6")
def ragged_rows(folder: Path) -> Path:
    return csv(folder, lines(_3="170.5,3,red,True", _9="170.5,3,red,True,no,extra"))


@bad("Every row has 6 fields, the header has 5")
def rows_with_an_index_that_the_header_lacks(folder: Path) -> Path:
    every = lines()
    return csv(folder, [every[0], *(f"{k},{line}" for k, line in enumerate(every[1:]))])


@bad("Duplicate column names", "'height' is column 1, 2")
def duplicate_names(folder: Path) -> Path:
    return csv(folder, lines(_1="height,height,colour,member,label"))


@bad("Column 1 has no name", "index=False")
def a_column_without_a_name(folder: Path) -> Path:
    return csv(folder, plain_frame().to_csv())


@bad("A quote that opens in row 5 never closes")
def open_quote(folder: Path) -> Path:
    return csv(folder, lines(_5='170.5,3,"red,True,no'))


@bad("Row 5 has text after a closing quote")
def text_after_a_closing_quote(folder: Path) -> Path:
    return csv(folder, lines(_5='170.5,3,"red"dish,True,no', _6='170.5,3,5" red,True,no'))


@bad("Row 4 has a field of 2")
def a_huge_field(folder: Path) -> Path:
    return csv(folder, lines(_4=f"170.5,3,{'x' * (2 << 20)},True,no"))


@bad("single column")
def a_single_column(folder: Path) -> Path:
    return csv(folder, csv_text({"label": ["yes", "no"] * 30}))


@bad("only numbers", "header is missing", target="label")
def no_header(folder: Path) -> Path:
    return csv(folder, csv_text({"1.5": range(50), "2.5": range(50)}))


# --- columns that options name


@bad("--target 'lable' is not a column", "Did you mean 'label'", "'height'", target="lable")
def target_that_is_not_there(folder: Path) -> Path:
    return csv(folder, lines())


@bad("No --target was given", "'label'", target=None)
def no_target(folder: Path) -> Path:
    return csv(folder, lines())


@bad("--split-column 'part' is not a column", split_column="part")
def split_column_that_is_not_there(folder: Path) -> Path:
    return csv(folder, lines())


@bad("--time-column 'when' is not a column", time_column="when")
def time_column_that_is_not_there(folder: Path) -> Path:
    return csv(folder, lines())


@bad("named for two uses", split_column="label")
def target_and_split_are_one_column(folder: Path) -> Path:
    return csv(folder, lines())


@bad("both given", split_column="colour", time_column="visits")
def split_and_time(folder: Path) -> Path:
    return csv(folder, lines())


# --- the target


@bad("no value in 7 rows (rows 2, 4, 6, 8, 10, ...)", "autoopt predict")
def target_with_gaps(folder: Path) -> Path:
    frame = plain_frame()
    frame["label"] = frame["label"].astype(object)
    frame.loc[[0, 2, 4, 6, 8, 10, 12], "label"] = None
    return csv(folder, frame_text(frame))


@bad("no value in 1 row (row 6)")
def target_with_nan_among_numbers(folder: Path) -> Path:
    return with_column(folder, "label", ["nan" if k == 4 else k / 7 for k in range(120)])


@bad("holds 'NA' among numbers", "row 4")
def target_with_na_among_numbers(folder: Path) -> Path:
    return with_column(folder, "label", ["NA" if k == 2 else k % 2 for k in range(120)])


@bad("no values at all")
def target_of_nothing(folder: Path) -> Path:
    return with_column(folder, "label", None)


@bad("only one value, 'yes'")
def target_of_one_class(folder: Path) -> Path:
    return with_column(folder, "label", "yes")


@bad("only one value, 3")
def target_of_one_number(folder: Path) -> Path:
    return with_column(folder, "label", 3)


@bad("'maybe' has 1 row (row 2)")
def class_with_one_row(folder: Path) -> Path:
    frame = plain_frame()
    frame.loc[0, "label"] = "maybe"
    return csv(folder, frame_text(frame))


@bad("120 different texts", "at most 100 classes")
def target_with_too_many_classes(folder: Path) -> Path:
    return with_column(folder, "label", [f"name {k}" for k in range(120)])


@bad("infinite in 1 row (row 3)")
def target_that_is_infinite(folder: Path) -> Path:
    return with_column(folder, "label", ["1e999" if k == 1 else k / 3 for k in range(120)])


@bad("mixes numbers with texts ('broken')", "row 8")
def target_of_numbers_and_a_text(folder: Path) -> Path:
    return with_column(folder, "label", ["broken" if k == 6 else k / 3 for k in range(120)])


@bad("holds dates")
def target_of_dates(folder: Path) -> Path:
    frame = plain_frame()
    frame["label"] = pd.date_range("2024-01-01", periods=len(frame))
    frame.to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


# --- columns to learn from


@bad("'twin' is a copy of the target")
def copy_of_the_target(folder: Path) -> Path:
    return with_column(folder, "twin", plain_frame()["label"])


@bad("'code' is a copy of the target", "under the same or other names")
def copy_of_the_target_under_other_names(folder: Path) -> Path:
    return with_column(folder, "code", plain_frame()["label"].map({"no": 7, "yes": 3}))


@bad("'twin' is a copy of the target")
def copy_of_a_target_of_numbers(folder: Path) -> Path:
    frame = plain_frame()
    frame["label"] = frame["twin"] = np.linspace(0, 9, len(frame)).round(3)
    return csv(folder, frame_text(frame))


@bad("'height' holds infinite values in 2 rows (rows 2, 3)")
def infinities(folder: Path) -> Path:
    return with_column(folder, "height", ["1e999", "-inf", *plain_frame()["height"][2:]])


@bad("'height' mixes 118 numbers with texts ('unknown')", "2 rows (rows 2, 3)", "empty")
def numbers_and_a_few_texts(folder: Path) -> Path:
    return with_column(folder, "height", ["unknown", "unknown", *plain_frame()["height"][2:]])


@bad("'height' mixes", "'unknown'")
def numbers_and_one_frequent_word(folder: Path) -> Path:
    return with_column(folder, "height", [*["unknown"] * 40, *plain_frame()["height"][40:]])


@bad("decimal commas", "'height'")
def decimal_commas(folder: Path) -> Path:
    frame = plain_frame()
    return csv(folder, frame.to_csv(index=False, sep=";", decimal=","))


@bad("No column is left to learn from", "free text", "always 'x'", "identifier")
def nothing_to_learn_from(folder: Path) -> Path:
    rows = 60
    columns = {
        "id": range(rows),
        "kind": ["x"] * rows,
        "story": [f"once upon a time there were {k} of them" for k in range(rows)],
        "label": ["yes", "no"] * (rows // 2),
    }
    return csv(folder, csv_text(columns))


# --- rows and splits


@bad("has 12 rows", "20")
def too_few_rows(folder: Path) -> Path:
    return csv(folder, lines()[:13])


@bad("holds 'holdout' in 40 rows (rows 4, 7,", "train, valid", split_column="part")
def split_column_with_another_word(folder: Path) -> Path:
    return with_column(folder, "part", ["train", "valid", "holdout"] * 40)


@bad("No rows are left for 'test'", split_column="part")
def split_column_without_test(folder: Path) -> Path:
    return with_column(folder, "part", ["train", "train", "valid"] * 40)


@bad("holds '' in 1 row (row 2)", split_column="part")
def split_column_with_a_gap(folder: Path) -> Path:
    return with_column(folder, "part", ["", *(["train", "valid", "test"] * 40)[1:]])


@bad("valid has only the class 'no'", "roc_auc", split_column="part")
def split_column_with_one_class_in_valid(folder: Path) -> Path:
    frame = plain_frame()
    frame["part"] = ["train", "test"] * 60
    frame.loc[frame.index[frame["label"] == "no"][:20], "part"] = "valid"
    return csv(folder, frame_text(frame))


@bad("test has classes that train has not: 'new'", split_column="part")
def split_column_with_a_new_class_in_test(folder: Path) -> Path:
    frame = plain_frame()
    frame["part"] = ["train", "valid", "test"] * 40
    frame.loc[frame["part"] == "test", "label"] = "new"
    return csv(folder, frame_text(frame))


@bad("cannot be read as a time in 1 row (row 4)", "'soon'", time_column="when")
def times_that_are_none(folder: Path) -> Path:
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d").tolist()
    days[2] = "soon"
    return with_column(folder, "when", days)


@bad("no value in 1 row (row 2)", time_column="when")
def times_with_a_gap(folder: Path) -> Path:
    return with_column(folder, "when", [None, *pd.date_range("2024-01-01", periods=119).strftime("%Y-%m-%d")])


@bad("day or month first cannot be told", time_column="when")
def times_that_can_be_read_two_ways(folder: Path) -> Path:
    return with_column(folder, "when", [f"{1 + k % 12:02d}/{1 + k % 11:02d}/2024" for k in range(120)])


@bad("1 different value", time_column="when")
def times_that_are_all_one(folder: Path) -> Path:
    return with_column(folder, "when", "2024-01-01")


# --- metrics


@bad("'auc_roc' is not a metric", "roc_auc", "rmse", error=OptionError, metric="auc_roc")
def metric_that_does_not_exist(folder: Path) -> Path:
    return csv(folder, lines())


@bad("rmse does not fit", "2 classes", "roc_auc", error=OptionError, metric="rmse")
def metric_of_values_for_classes(folder: Path) -> Path:
    return csv(folder, lines())


@bad("accuracy does not fit", "rmse, mae, r2", error=OptionError, target="height", metric="accuracy")
def metric_of_classes_for_values(folder: Path) -> Path:
    return csv(folder, lines())


# --- other sources


@bad("not a whole Parquet file")
def parquet_cut_off(folder: Path) -> Path:
    path = folder / "data.parquet"
    plain_frame().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    return path


@bad("holds list", "'tags'")
def parquet_with_lists(folder: Path) -> Path:
    frame = plain_frame()
    table = pa.table({**{c: frame[c].to_numpy() for c in frame}, "tags": [[1, 2]] * len(frame)})
    pq.write_table(table, folder / "data.parquet")
    return folder / "data.parquet"


@bad("no rows", "No --target", target=None)
def parquet_without_rows(folder: Path) -> Path:
    pq.write_table(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64())}), folder / "data.parquet")
    return folder / "data.parquet"


@bad("not a whole HDF5 file")
def hdf5_cut_off(folder: Path) -> Path:
    path = write_hdf5(folder / "data.h5", {"a": np.arange(500.0), "label": np.arange(500)})
    path.write_bytes(path.read_bytes()[:1000])
    return path


@bad("no table that is understood", "Accepted:")
def hdf5_of_another_layout(folder: Path) -> Path:
    with h5py.File(folder / "data.h5", "w") as file:
        file["images"] = np.zeros((10, 8, 8))
    return folder / "data.h5"


@bad("differ in length", "a has 3")
def hdf5_columns_of_two_lengths(folder: Path) -> Path:
    return write_hdf5(folder / "data.h5", {"a": np.arange(3), "label": np.arange(4)})


@bad("not a demo", "demo:wine", target=None)
def demo_that_does_not_exist(folder: Path) -> str:
    return "demo:wines"


@bad("is empty", "0 rows")
def frame_without_rows(folder: Path) -> pd.DataFrame:
    return plain_frame().iloc[:0]


@bad("several levels")
def frame_with_levels_of_columns(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(np.zeros((30, 2)), columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "label")]))


@bad("Duplicate column names: 'height'")
def frame_with_duplicate_names(folder: Path) -> pd.DataFrame:
    frame = plain_frame()
    return pd.concat([frame, frame[["height"]]], axis=1)


@bad("'tags' holds list objects in 120 rows (first in row 1)")
def frame_with_lists(folder: Path) -> pd.DataFrame:
    return plain_frame().assign(tags=[[1]] * 120)


@bad("'z' holds complex128")
def frame_with_complex_numbers(folder: Path) -> pd.DataFrame:
    return plain_frame().assign(z=np.ones(120) * 1j)


@bad("'day' holds period")
def frame_with_periods(folder: Path) -> pd.DataFrame:
    return plain_frame().assign(day=pd.period_range("2024-01-01", periods=120))


@bad("'took' holds duration")
def frame_with_durations(folder: Path) -> pd.DataFrame:
    return plain_frame().assign(took=pd.to_timedelta(range(120), unit="s"))


@bad("mixes 117 numbers with texts ('low')", "rows 1, 2, 3")
def frame_with_mixed_objects(folder: Path) -> pd.DataFrame:
    frame = plain_frame()
    frame["height"] = ["low"] * 3 + frame["height"].tolist()[3:]
    return frame


@bad("'height' holds infinite values in 1 row (row 5)")
def frame_with_infinity(folder: Path) -> pd.DataFrame:
    frame = plain_frame()
    frame.loc[4, "height"] = np.inf
    return frame


@bad("list", "DataFrame")
def neither_a_path_nor_a_frame(folder: Path) -> list[int]:
    return [1, 2, 3]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_bad_data_is_told_in_one_message(case: Case, tmp_path: Path) -> None:
    source = case.source(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        prepare_task(source, case.options)
    assert type(caught.value) is case.error
    assert caught.value.exit_code == 2
    message = str(caught.value)
    for fragment in case.says:
        assert fragment in message
    assert all(problem.what and problem.mend for problem in caught.value.problems), "every problem has its mend"
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 45
    assert len({c.name for c in CASES}) == len(CASES)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    frame = plain_frame().astype({"label": object})
    frame["twin"] = frame["label"]
    frame.loc[3, "label"] = None
    frame["height"] = ["?!", *frame["height"].tolist()[1:]]
    frame["visits"] = ["inf", *frame["visits"].tolist()[1:]]
    text = frame_text(frame).splitlines()
    text[50] += ",one too many"
    with pytest.raises(DataError) as caught:
        prepare_task(csv(tmp_path, text), options(time_column="when"))
    told = [p.what for p in caught.value.problems]
    for fragment in (
        "row 51 has 7",
        "--time-column 'when'",
        "'height' mixes",
        "'visits' holds inf",
        "no value in 1 row",
    ):
        assert sum(fragment in what for what in told) == 1, fragment


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    path = csv(tmp_path, lines())
    path.chmod(0)
    with pytest.raises(DataError, match="chmod u\\+r"):
        prepare_task(path, options())
