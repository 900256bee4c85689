"""What is shown of the data before a search, for each kind of them."""

import numpy as np
import pytest
from support_modalities import facts_of, image_task, tensor_task, text_task

from autoopt.cli.results import predict_command
from autoopt.cli.screen import content_rows, facts_rows
from autoopt.task import PreparedTask
from autoopt.task.facts import Modality, ModuleFacts, TaskFacts
from autoopt.task.snapshot import Part, PartArrays


def prepared(facts: TaskFacts, part: Part) -> PreparedTask:
    arrays = PartArrays(
        numbers=part.numbers,
        codes=np.zeros((part.rows, 0), dtype=np.int32),
        target=part.target,
        row_ids=part.row_ids,
        texts=tuple(part.texts.T) if part.texts.size else (),
        tensors=part.tensors,
    )
    return PreparedTask(facts=facts, categories=(), parts={"train": arrays, "valid": arrays})


def test_images_are_told_with_their_size_and_classes() -> None:
    facts, part = image_task()
    rows = dict(facts_rows(facts, content=content_rows(prepared(facts, part))))
    assert rows["data"] == "made: 104 images, kept at 12 × 16 pixels"
    assert rows["classes"] == "bird 16, cat 16, dog 16"


def test_texts_are_told_with_their_lengths() -> None:
    facts, part = text_task()
    rows = facts_rows(facts, content=content_rows(prepared(facts, part)))
    assert ("texts", "2: title, body") in rows
    assert ("lengths", "title: 4 characters in the middle, 13 at most") in rows
    assert ("lengths", "body: 0 characters in the middle, 0 at most") in rows
    assert [text for label, text in rows if label == "left out"] == []


def test_a_module_is_told_with_its_inputs_loss_and_choices() -> None:
    facts, part = tensor_task()
    module = ModuleFacts(files={}, loss="own", output="logits", choices={"width": {}}, held=True)
    told = dict(facts_rows(facts_of(Modality.MODULE, tensors=facts.tensors, module_facts=module)))
    assert told["data"] == "made: 104 rows of signal float32 3 × 4, bias int64 3"
    assert told["loss"] == "the task's own function"
    assert told["choices"] == "width"
    assert content_rows(prepared(facts, part)) == []


@pytest.mark.parametrize(
    "modality, data",
    [("tabular", "new.csv"), ("text", "new.csv"), ("images", "photos"), ("module", "inputs.npz"), ("", "new.csv")],
)
def test_the_command_that_predicts_fits_the_data(modality: str, data: str) -> None:
    assert f"predict bundle {data} -o" in predict_command("bundle", modality)[0]
