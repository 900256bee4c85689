"""The report's images come from the task's own snapshot."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from support_modalities import image_task, text_task

from autoopt.app.sheet import EACH, contact_sheet
from autoopt.task.facts import Kind
from autoopt.task.snapshot import Part, PartArrays, write_snapshot


def arrays(part: Part) -> PartArrays:
    codes = np.zeros((part.rows, 0), dtype=np.int32)
    return PartArrays(numbers=part.numbers, codes=codes, target=part.target, row_ids=part.row_ids, tensors=part.tensors)


def test_a_few_images_of_each_class(tmp_path: Path) -> None:
    facts, part = image_task()
    write_snapshot(tmp_path / "task", facts, [], dict.fromkeys(("train", "valid", "test"), arrays(part)))
    found = contact_sheet(tmp_path / "task", facts)
    assert {label: len(uris) for label, uris in found.items()} == dict.fromkeys(facts.classes, EACH)
    first = Image.open(io.BytesIO(base64.b64decode(found["cat"][0].partition(",")[2])))
    assert np.array_equal(np.asarray(first), part.tensors[0][part.target == 1][0])


def test_amounts_have_no_classes(tmp_path: Path) -> None:
    facts, part = image_task()
    facts = replace(facts, kind=Kind.REGRESSION, classes=())
    amounts = replace(part, target=part.target.astype(float))
    write_snapshot(tmp_path / "task", facts, [], dict.fromkeys(("train", "valid", "test"), arrays(amounts)))
    assert [(label, len(uris)) for label, uris in contact_sheet(tmp_path / "task", facts).items()] == [("label", EACH)]


def test_other_data_and_a_lost_snapshot_have_none(tmp_path: Path) -> None:
    assert contact_sheet(tmp_path / "gone", image_task()[0]) == {}
    assert contact_sheet(tmp_path, text_task()[0]) == {}
