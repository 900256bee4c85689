"""What each kind of file is read as, and that oddly shaped but sound files are read, not refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from support_task import csv_text, frame_text, options, plain_frame, write, write_hdf5

from autoopt.runtime.cells import text_array
from autoopt.task import DEMOS, Kind, TaskOptions, prepare_task
from autoopt.task.sources.dispatch import read_table
from autoopt.task.sources.layout import scan, sniff
from autoopt.task.table import Table


def read(folder: Path, content: str | bytes, name: str = "data.csv") -> Table:
    return read_table(write(folder / name, content))


def values(table: Table) -> dict[str, list[object]]:
    return {n: c.to_pylist() for n, c in zip(table.names, table.columns, strict=True)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.txt.gz"])
def test_delimiters_are_found_in_plain_and_packed_text(tmp_path: Path, delimiter: str, name: str) -> None:
    table = read(tmp_path, csv_text({"a": [1, 2], "b b": ["x", "y"]}, delimiter), name)
    assert values(table) == {"a": ["1", "2"], "b b": ["x", "y"]}
    assert table.row_numbers.tolist() == [2, 3]


def test_a_comma_in_the_values_does_not_hide_the_semicolon() -> None:
    assert sniff(b"a;b\n1,5;2,5\n3,5;4,5\n") == ";"
    assert sniff(b'"a;b",c\n1,2\n') == ","
    assert sniff(b"only\n1\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a,b\n"x, y","say ""hi"""\n', {"a": ["x, y"], "b": ['say "hi"']}),
        ('a,b\n"two\nlines",2\n3,4\n', {"a": ["two\nlines", "3"], "b": ["2", "4"]}),
        ('a, b\n1, "x, y"\n', {"a": ["1"], "b": ["x, y"]}),
        ('a,b\n5" pipe,2\n', {"a": ['5" pipe'], "b": ["2"]}),
        ("a,b\r\n1,2\r\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\r1,2\r", {"a": ["1"], "b": ["2"]}),
        ("\ufeffa,b\n1,2", {"a": ["1"], "b": ["2"]}),
        ("a,b\n 1 ,\t2\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\n,\n", {"a": [""], "b": [""]}),
    ],
    ids=["quoted", "line in a field", "space before a quote", "stray quote", "crlf", "cr", "mark", "space", "empty"],
)
def test_text_that_is_sound(tmp_path: Path, text: str, expected: dict[str, list[str]]) -> None:
    table = read(tmp_path, text)
    assert table.problems == ()
    assert values(table) == expected


def test_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,2\n\n\n3,4\n")
    assert table.row_numbers.tolist() == [2, 5]
    odd = read(tmp_path, 'a,b\n1,2\n\n\n3,5" x\n')
    assert odd.row_numbers.tolist() == [2, 5], "the same where records are read one by one"


def test_numpy_and_csv_module_agree_on_well_quoted_text() -> None:
    raw = b'a,b\n"x\n,""y""",2\n\n3,"4"'
    layout = scan(raw, ",")
    assert layout is not None
    assert layout.fields.tolist() == [2, 2, 2]
    assert layout.numbers.tolist() == [1, 2, 4]
    assert [raw[a:b] for a, b in zip(layout.starts, layout.ends, strict=True)] == [
        b"a,b",
        b'"x\n,""y""",2',
        b'3,"4"',
    ]
    assert scan(b'a,b\n5" x,1\n', ",") is None


def test_a_header_of_counted_numbers_is_a_header(tmp_path: Path) -> None:
    assert read(tmp_path, "0,1,2\n5,6,7\n").problems == ()


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.gz", "a,b\n1,2\n"), write(tmp_path / "2.gz", "3,4\n")
    both = tmp_path / "both.csv.gz"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert values(read_table(both)) == {"a": ["1", "3"], "b": ["2", "4"]}


def test_the_three_layouts_of_hdf5(tmp_path: Path) -> None:
    expected = {"n": [1.5, 2.5], "s": ["x", "y"]}
    write_hdf5(tmp_path / "columns.h5", expected)
    with h5py.File(tmp_path / "compound.h5", "w") as file:
        file["table"] = np.array([(1.5, b"x"), (2.5, b"y")], dtype=[("n", "f8"), ("s", "S1")])
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        file["inner/data"] = np.array([[1, 2], [3, 4]])
        file["inner/data"].attrs["columns"] = ["a", "b"]
    assert values(read_table(tmp_path / "columns.h5")) == expected
    assert values(read_table(tmp_path / "compound.h5")) == expected
    assert values(read_table(tmp_path / "matrix.h5")) == {"a": [1, 3], "b": [2, 4]}


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "other.h5", {"secret": [1.0, 2.0]})
    path = write_hdf5(tmp_path / "data.h5", {"a": [1.0, 2.0], "b": [3.0, 4.0]})
    with h5py.File(path, "a") as file:
        file["secret"] = h5py.ExternalLink("other.h5", "/secret")
    assert read_table(path).names == ("a", "b")


def test_a_saved_pandas_index_is_left_out_and_told(tmp_path: Path) -> None:
    plain_frame().sample(50, random_state=0).to_parquet(tmp_path / "data.parquet")
    table = read_table(tmp_path / "data.parquet")
    assert table.names == tuple(plain_frame().columns)
    assert "index" in table.warnings[0]


def test_one_table_is_the_same_task_from_every_format(tmp_path: Path) -> None:
    frame = plain_frame()
    frame.to_parquet(tmp_path / "data.parquet", index=False)
    write_hdf5(tmp_path / "data.h5", {c: frame[c].to_numpy() for c in frame})
    text = frame_text(frame)
    sources = [
        frame,
        write(tmp_path / "data.csv", text),
        write(tmp_path / "data.csv.gz", text),
        write(tmp_path / "data.tsv", frame.to_csv(index=False, sep="\t")),
        tmp_path / "data.parquet",
        tmp_path / "data.h5",
    ]
    tasks = [prepare_task(s, options()) for s in sources]
    for task in tasks[1:]:
        assert task.facts.columns == tasks[0].facts.columns
        for part, arrays in task.parts.items():
            expected = tasks[0].parts[part]
            np.testing.assert_array_equal(arrays.numbers, expected.numbers)
            np.testing.assert_array_equal(arrays.codes, expected.codes)
            np.testing.assert_array_equal(arrays.target, expected.target)


@pytest.mark.parametrize("demo", DEMOS)
def test_demos_are_tasks_of_their_own(demo: str) -> None:
    facts = prepare_task(f"demo:{demo}", TaskOptions()).facts
    kinds = {"diabetes": Kind.REGRESSION, "breast_cancer": Kind.BINARY}
    assert facts.name == f"demo:{demo}"
    assert facts.target == "target"
    assert facts.kind is kinds.get(demo, Kind.MULTICLASS)
    assert facts.classes[:2] == {
        "digits": ("0", "1"),
        "iris": ("setosa", "versicolor"),
        "wine": ("class_0", "class_1"),
        "breast_cancer": ("benign", "malignant"),
    }.get(demo, ())


def test_frames_of_every_dtype(tmp_path: Path) -> None:
    frame = plain_frame()
    frame["nullable"] = pd.array([None, *range(119)], dtype="Int64")
    frame["flag"] = pd.array([None, True, False] * 40, dtype="boolean")
    frame["kind"] = pd.Categorical(["p", "q", None] * 40)
    frame["objects"] = np.array([True, False, None] * 40, dtype=object)
    frame["day"] = pd.period_range("2024-01-01", periods=120).to_timestamp()
    frame["moments"] = pd.date_range("2024-01-01", periods=120, tz="UTC")
    frame["sparse"] = pd.arrays.SparseArray([0, 1, 2] * 40)
    facts = prepare_task(frame, options()).facts
    roles = {c.name: c.role.value for c in facts.columns}
    assert roles | {"flag": "boolean", "kind": "category", "objects": "boolean", "moments": "date"} == roles
    assert roles | {"nullable": "number", "sparse": "number"} == roles
    assert {c.name: c.missing for c in facts.columns}["objects"] == 40


def test_blanks_around_cells_go_from_a_frame_as_from_a_file(tmp_path: Path) -> None:
    cells = [" Ulm ", "\u2003Köln\n", "a b", "\x1cBonn\u3000", ""]
    frame = pd.DataFrame({"town": cells, "n": [1, 2, 3, 4, 5]})
    expected = ["Ulm", "Köln", "a b", "Bonn", ""]
    assert [v or "" for v in values(read_table(frame))["town"]] == expected
    assert text_array(cells).tolist() == text_array(pd.Series(cells)).tolist() == expected
    assert text_array([c for c in cells if c.isascii()]).tolist() == ["Ulm", "a b", ""]
