"""Names and lengths that MLflow takes."""

import posixpath
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.tracking.wording import MAX_KEY, chunks, cut, safe_keys, sqlite_path

ODD = st.text(alphabet=st.sampled_from("ab./\\ :-_'`\"%é中😀\n\0~"), max_size=12)


@given(st.lists(ODD | st.text(max_size=300)))
def test_every_name_gets_a_key_of_its_own_that_is_no_path_trick(names: list[str]) -> None:
    keys = safe_keys(names)
    assert set(keys) == set(names)
    assert len(set(keys.values())) == len(keys)
    for key in keys.values():
        assert 0 < len(key) <= MAX_KEY
        assert re.fullmatch(r"[/\w.\- :]*", key)
        assert posixpath.normpath(key) == key
        assert key != "."
        assert not key.startswith(("..", "/"))


@given(st.lists(ODD))
def test_keys_do_not_change_between_deliveries(names: list[str]) -> None:
    assert safe_keys(names) == safe_keys(list(names))


@pytest.mark.parametrize("name", ["lightgbm.num_leaves", "curve_valid", "mlp.width", "a b", "autoopt.uid", "x/y"])
def test_the_names_that_are_used_stay_as_they_are(name: str) -> None:
    assert safe_keys([name]) == {name: name}


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = ["x" * 300 + end for end in "abc"]
    assert len(set(safe_keys(names).values())) == 3


def test_a_cut_text_says_so() -> None:
    assert cut("short", 10) == "short"
    assert cut("x" * 11, 10) == "xxxxxxxx …"
    assert len(cut("x" * 9999, 6000)) == 6000


def test_chunks_hold_everything_once() -> None:
    assert list(chunks(list(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////home/me/mlflow.db", "/home/me/mlflow.db"),
        ("sqlite:///here.db", "here.db"),
        ("sqlite:///:memory:", None),
        ("sqlite:///a.db?timeout=3", None),
        ("postgresql://me:secret@host/mlflow", None),
        ("http://127.0.0.1:5000", None),
    ],
)
def test_which_uris_name_a_file(uri: str, path: str | None) -> None:
    assert sqlite_path(uri) == (Path(path) if path else None)
