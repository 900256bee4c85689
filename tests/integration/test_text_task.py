"""--text: columns of free text become a task, and what cannot be is told in one message."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support_cli import run_here
from support_stages import Place
from support_text import text_frame

from autoopt.errors import DataError
from autoopt.task import Snapshot, TaskOptions, prepare_task
from autoopt.task.facts import Modality, Role, TaskFacts

TEXT = ("title", "text")


def options(*text: str, **more: Any) -> TaskOptions:
    return TaskOptions(target="label", text=text or TEXT, **more)


def facts_of(frame: pd.DataFrame, *text: str) -> TaskFacts:
    return prepare_task(frame, options(*text)).facts


def test_named_columns_are_texts_and_others_are_left_out_with_one_warning(tmp_path: Path) -> None:
    frame = text_frame()
    frame.loc[3, "text"] = None
    task = prepare_task(frame, options())
    facts = task.facts
    assert facts.modality is Modality.TEXT
    assert facts.text_columns == TEXT
    assert [(c.name, c.role, c.used) for c in facts.columns if c.role is not Role.TARGET] == [
        ("title", Role.TEXT, True),
        ("text", Role.TEXT, True),
        ("length", Role.NUMBER, False),
        ("desk", Role.CATEGORY, False),
    ]
    assert [c.missing for c in facts.columns][:2] == [0, 1]
    assert [w for w in facts.warnings if "beside texts" in w.lower()] == [
        "Beside texts, other columns are not learned from: 'length', 'desk'."
    ]
    task.save(tmp_path / "snapshot")
    snapshot = Snapshot.open(tmp_path / "snapshot").verify()
    found = {name: snapshot.part(name) for name in ("train", "valid", "test")}
    assert sum(part.rows for part in found.values()) == len(frame)
    for name, part in found.items():
        rows = frame.iloc[part.row_ids - 1]
        assert np.array_equal(part.texts, rows[list(TEXT)].fillna("").to_numpy(dtype=object))
        again = snapshot.frame(name)  # type: ignore[arg-type]
        assert list(again.columns) == list(TEXT)
        assert again["text"].isna().sum() == rows["text"].isna().sum()


def test_equal_texts_are_in_one_part_and_every_letter_counts_for_the_fingerprint() -> None:
    frame = pd.concat([text_frame(60)] * 3, ignore_index=True)
    task = prepare_task(frame, options())
    seen = [set(map(tuple, np.stack(part.texts, axis=1).tolist())) for part in task.parts.values()]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]
    changed = frame.assign(title=["another title", *frame["title"][1:]])
    prints = {facts_of(f).fingerprint for f in (frame, changed)}
    assert len(prints | {prepare_task(frame, options("title")).facts.fingerprint}) == 3
    other = frame.assign(length=0)  # not learned from
    assert facts_of(other).fingerprint == task.facts.fingerprint


def test_rows_without_any_text_are_told() -> None:
    frame = text_frame()
    frame.loc[:4, "title"] = " "
    assert not [w for w in facts_of(frame).warnings if "no text" in w]
    frame.loc[:2, "text"] = None
    assert f"3 of {len(frame)} rows hold no text: there a model can only guess." in facts_of(frame).warnings


def test_numbers_that_are_named_are_read_as_they_are_written() -> None:
    frame = text_frame().assign(text=np.array([1.5, np.nan, *range(148)]))
    column = next(c for c in facts_of(frame).columns if c.name == "text")
    assert (column.role, column.missing, column.note) == (Role.TEXT, 1, "numbers, read as text")
    texts = set(np.concatenate([part.texts[1] for part in prepare_task(frame, options()).parts.values()]))
    assert {"1.5", ""} <= texts
    assert "nan" not in texts


def test_odd_texts_come_through(tmp_path: Path) -> None:
    frame = text_frame().astype({"text": object})
    odd = ["nul\0inside", "half \ud800 a pair", "x" * (1 << 20), "日本語", " a b\n", "line\nbreak"]
    frame.loc[: len(odd) - 1, "text"] = odd
    task = prepare_task(frame, options())
    task.save(tmp_path / "snapshot")
    snapshot = Snapshot.open(tmp_path / "snapshot").verify()
    kept = set(np.concatenate([snapshot.part(p).texts[:, 1] for p in ("train", "valid", "test")]))
    assert {"nul\0inside", "half ? a pair", "x" * (1 << 20), "日本語", "a b", "line\nbreak"} <= kept


@pytest.mark.parametrize(
    "text,change,says",
    [
        (("titel",), {}, ["--text 'titel' is not a column", "Did you mean 'title'?"]),
        (("title", "nothing"), {}, ["--text 'nothing' is not a column"]),
        (("title", "label"), {}, ["named for two uses", "--target label", "--text label"]),
        (("title", "title"), {}, ["named for two uses"]),
        (("title", "text"), {"text": None}, ["--text 'text' holds no text in any row"]),
        (("text",), {"text": "  "}, ["--text 'text' holds no text in any row"]),
    ],
    ids=str,
)
def test_columns_that_cannot_be_learned_from(text: tuple[str, ...], change: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(DataError) as error:
        prepare_task(text_frame().assign(**change), options(*text))
    assert all(words in str(error.value) for words in says), error.value


def test_free_text_alone_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="To learn from free text, name its columns: --text title,text"):
        prepare_task(text_frame(600)[["title", "text", "label"]], TaskOptions(target="label"))


@pytest.mark.parametrize("source", ["folder", "task.py:task", "archive.tar.gz"])
def test_what_is_no_table_has_no_columns(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=f"--text names columns of a table.*{source}.*is no table"):
        prepare_task(source, options())
    with pytest.raises(DataError, match="--image was given too"):
        prepare_task(text_frame(), options(image="title"))


def test_command_line_shows_the_texts_and_tells_all_that_is_wrong(tmp_path: Path) -> None:
    text_frame().to_csv(tmp_path / "news.csv", index=False)
    words = ["search", str(tmp_path / "news.csv"), "--target", "label", "--home", str(tmp_path / "home"), "--dry-run"]
    good = run_here(*words, "--text", "title,text")
    assert good.code == 0, good.err
    assert "texts" in good.out
    assert "2: title, text" in good.out
    bad = run_here(*words, "--text", "titel,text")
    assert (bad.code, bad.out) == (2, "")
    assert "--text 'titel' is not a column" in bad.err
    latin = tmp_path / "latin.csv"
    latin.write_bytes((tmp_path / "news.csv").read_bytes().replace(b"goal", "gôal".encode("latin-1")))
    wrong = run_here(*["search", str(latin), *words[2:]], "--text", "title,text")
    assert wrong.code == 2
    assert "not UTF-8" in wrong.err
    assert "iconv" in wrong.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("model", ["ngram_linear", "ngram_bayes"])
def test_a_recipe_is_prepared_trained_deployed_and_measured(model: str, tmp_path: Path) -> None:
    frame = text_frame(300, topics=3)
    frame.loc[::7, "text"] = None
    prepare_task(frame, options()).save(tmp_path / "snapshot")
    place = Place(snapshot=str(tmp_path / "snapshot"), store=str(tmp_path / "store"))
    whole, small = (place.evaluate({"model": model, "quantize": form}) for form in ("none", "weights_int8"))
    assert whole.measures["quality"].value > 0.8
    assert small.measures["quality"].value > 0.8
    assert small.measures["size_bytes"].value < whole.measures["size_bytes"].value
    assert [s.hit for s in small.stages][:2] == [True, True]
    report = place.verify({"model": model}, {"model": model, "quantize": "weights_int8"})
    assert report.twin is not None
    assert set(report.sample["columns"]) == set(TEXT)


def test_models_that_read_tokens_do_not_share_what_counts_were_prepared(tmp_path: Path) -> None:
    prepare_task(text_frame(), options()).save(tmp_path / "snapshot")
    place = Place(snapshot=str(tmp_path / "snapshot"), store=str(tmp_path / "store"))
    keys = []
    for recipe in (
        {"model": "ngram_linear"},
        {"model": "ngram_bayes"},
        {"model": "embedding_bag", "embedding_bag.epochs": 1},
    ):
        keys.append(place.evaluate(recipe).stages[0].key)
    assert keys[0] == keys[1] != keys[2]
