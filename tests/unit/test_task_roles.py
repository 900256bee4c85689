"""What columns and targets are taken for, and what is said about it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support_task import frame_text, options, plain_frame, write

from autoopt.errors import DataError, OptionError
from autoopt.task import ColumnFacts, Kind, Role, Snapshot, TaskFacts, prepare_task
from autoopt.task.metrics import METRICS, metric, metrics_for

ROWS = 200


def understood(values: Any, rows: int = ROWS) -> ColumnFacts:
    """Facts of a column 'x' with these values beside a sound table's."""
    frame = plain_frame(rows)
    frame.insert(0, "x", values)
    return prepare_task(frame, options()).facts.columns[0]


def cycle(*words: Any) -> list[Any]:
    return [words[k % len(words)] for k in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "role", "used", "note"),
    [
        (np.arange(ROWS) / 7, Role.NUMBER, True, ""),
        (cycle(1, 2, 3, 4), Role.NUMBER, True, "4 whole numbers"),
        (cycle("1", "2.5", "?", "NA"), Role.NUMBER, True, "read as missing"),
        (cycle("+1", "-.5", "1e3"), Role.NUMBER, True, ""),
        (cycle(True, False, True), Role.BOOLEAN, True, ""),
        (cycle("true", "FALSE", "NA"), Role.BOOLEAN, True, "'NA' read as missing"),
        (cycle("yes", "no", "yes"), Role.CATEGORY, True, ""),
        (cycle("a", "b", ""), Role.CATEGORY, True, ""),
        (cycle("None", "NA", "brick"), Role.CATEGORY, True, ""),
        (cycle("a", None, None), Role.CATEGORY, True, ""),
        (cycle("A1", "17", "B2"), Role.CATEGORY, True, "34% numbers"),
        (range(ROWS), Role.IDENTIFIER, False, "identifier"),
        (range(1, ROWS + 1), Role.IDENTIFIER, False, "identifier"),
        ([f"u{k:05}" for k in range(ROWS)], Role.IDENTIFIER, False, "identifier"),
        (cycle("same"), Role.CONSTANT, False, "always 'same'"),
        (cycle(7), Role.CONSTANT, False, "always 7"),
        (cycle(None), Role.CONSTANT, False, "no values"),
        ([f"2024-01-{1 + k % 28:02}" for k in range(ROWS)], Role.DATE, False, "date"),
        ([f"{1 + k % 28:02}.03.2024" for k in range(ROWS)], Role.DATE, False, "date"),
        ([f"2024-01-0{1 + k % 9}T10:00:00Z" for k in range(ROWS)], Role.DATE, False, "date"),
        (pd.date_range("2024-01-01", periods=ROWS), Role.DATE, False, "date"),
        ([f"the quick fox jumped over {k} dogs" for k in range(ROWS)], Role.TEXT, False, "free text"),
    ],
)
def test_roles(values: Any, role: Role, used: bool, note: str) -> None:
    facts = understood(values)
    assert (facts.role, facts.used) == (role, used)
    assert note in facts.note
    assert bool(facts.note) or not note


def test_spellings_of_missing_are_categories_among_texts_and_missing_among_numbers(tmp_path: Path) -> None:
    frame = plain_frame(ROWS)
    frame["walls"] = cycle("None", "NA", "brick", "")
    frame["area"] = cycle("1.5", "NA", "2.5", "")
    task = prepare_task(write(tmp_path / "data.csv", frame_text(frame)), options())
    assert task.categories[-1] == ("", "NA", "None", "brick")
    missing = {c.name: c.missing for c in task.facts.columns}
    assert (missing["walls"], missing["area"]) == (ROWS // 4, ROWS // 2)


def test_an_identifier_by_its_name_and_a_salary_by_its() -> None:
    values = np.random.default_rng(0).permutation(10**6)[:ROWS]
    frame = plain_frame(ROWS).assign(customer_id=values, salary=values[::-1])
    roles = {c.name: c.role for c in prepare_task(frame, options()).facts.columns}
    assert (roles["customer_id"], roles["salary"]) == (Role.IDENTIFIER, Role.NUMBER)


def test_many_categories_are_kept_while_they_repeat() -> None:
    rows = 3000
    kept = understood([f"shop {k % 300}" for k in range(rows)], rows)
    assert (kept.role, kept.used) == (Role.CATEGORY, True)
    assert "300 categories" in kept.note
    assert not understood([f"shop {k % 1600}" for k in range(rows)], rows).used


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (cycle("b", "a", "c"), Kind.MULTICLASS, ("a", "b", "c")),
        (cycle(True, False), Kind.BINARY, ("False", "True")),
        (cycle(2, 10, 1), Kind.MULTICLASS, ("1", "2", "10")),
        (cycle(0.0, 1.0), Kind.BINARY, ("0", "1")),
        (cycle(0.5, 1.5), Kind.BINARY, ("0.5", "1.5")),
        (cycle("NA", "None", "x"), Kind.MULTICLASS, ("NA", "None", "x")),
        (np.arange(ROWS), Kind.REGRESSION, ()),
        (np.arange(ROWS) % 30, Kind.REGRESSION, ()),
        (cycle(0.1, 0.2, 0.3), Kind.REGRESSION, ()),
    ],
)
def test_targets(values: Any, kind: Kind, classes: tuple[str, ...]) -> None:
    frame = plain_frame(ROWS)
    frame["label"] = np.random.default_rng(1).permutation(np.asarray(values, dtype=object))
    facts = prepare_task(frame.infer_objects(), options()).facts
    assert (facts.kind, facts.classes) == (kind, classes)
    assert facts.metric == metrics_for(kind)[0]
    assert facts.positive_class == (classes[1] if kind is Kind.BINARY else None)


def test_a_metric_decides_where_whole_numbers_could_be_either() -> None:
    frame = plain_frame(ROWS)
    frame["label"] = np.random.default_rng(1).integers(3, 9, ROWS)
    unasked = prepare_task(frame, options()).facts
    assert unasked.kind is Kind.MULTICLASS
    assert any("6 different whole numbers" in w for w in unasked.warnings)
    assert prepare_task(frame, options(metric="rmse")).facts.kind is Kind.REGRESSION
    assert prepare_task(frame, options(metric="accuracy")).facts.kind is Kind.MULTICLASS
    with pytest.raises(OptionError, match="accuracy"):
        prepare_task("demo:digits", options(target=None, metric="rmse"))


def test_metrics_about_one_class_say_which(tmp_path: Path) -> None:
    warnings = prepare_task(plain_frame(400), options(metric="f1")).facts.warnings
    assert any("'yes'" in w for w in warnings)


def test_classes_that_differ_by_case_are_told() -> None:
    frame = plain_frame(400)
    frame.loc[:20, "label"] = "Yes"
    assert any("letter case" in w for w in prepare_task(frame, options()).facts.warnings)


def test_columns_that_all_but_give_the_target_away_are_told() -> None:
    frame = plain_frame(2000)
    frame["hint"] = frame["label"].map({"yes": "p", "no": "q"})
    frame.loc[7, "hint"] = "p" if frame.loc[7, "hint"] == "q" else "q"
    assert any("'hint' gives the class away" in w for w in prepare_task(frame, options()).facts.warnings)
    values = frame.assign(label=np.linspace(0, 1, 2000), hint=np.linspace(32, 212, 2000))
    assert any("'hint' is the target times" in w for w in prepare_task(values, options()).facts.warnings)


def test_a_column_without_values_in_train_is_left_out() -> None:
    frame = plain_frame(ROWS)
    frame["part"] = cycle("train", "train", "valid", "test")
    frame["late"] = [k / 3 if p == "test" else None for k, p in enumerate(frame["part"])]
    facts = prepare_task(frame, options(split_column="part")).facts
    assert "late" not in facts.number_columns
    assert any("'late'" in w for w in facts.warnings)


def test_facts_survive_json(tmp_path: Path) -> None:
    task = prepare_task(plain_frame(), options())
    assert TaskFacts.from_json(task.facts.to_json()) == task.facts
    task.save(tmp_path / "task")
    assert Snapshot.open(tmp_path / "task").facts == task.facts


def test_every_metric_fits_a_kind_and_unknown_ones_name_them_all() -> None:
    assert {n for kind in Kind for n in metrics_for(kind)} == set(METRICS)
    with pytest.raises(OptionError, match="average_precision"):
        metric("auc")


def test_a_misfit_beside_other_problems_is_told_with_them() -> None:
    frame = plain_frame()
    frame["twin"] = ["x", *frame["height"].tolist()[1:]]
    with pytest.raises(DataError) as caught:
        prepare_task(frame, options(metric="rmse"))
    assert len(caught.value.problems) == 2


def test_the_facts_are_had_without_pandas_arrow_or_scikit_learn() -> None:
    code = "import sys, autoopt.task; print(sorted({'numpy', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
