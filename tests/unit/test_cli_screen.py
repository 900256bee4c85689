"""What is shown of the data before a search, for each kind of them."""

import io
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support_bundle import trial_row
from support_modalities import facts_of, image_task, tensor_task, text_task

from autoopt.cli.live import watcher
from autoopt.cli.results import predict_command
from autoopt.cli.screen import content_rows, facts_rows, not_tried, print_space
from autoopt.space import Choice, Space, load_space, space_names
from autoopt.strategies import catalogue
from autoopt.task import PreparedTask
from autoopt.task.facts import Modality, ModuleFacts, TaskFacts
from autoopt.task.snapshot import Part, PartArrays
from autoopt.values import Budget, TrialState


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


@pytest.mark.parametrize("name", space_names())
def test_what_follows_a_models_name_stands_in_one_column(name: str) -> None:
    space, text = load_space(name, catalogue()), io.StringIO()
    domain = next(d.domain for d in space.dimensions if d.name == "model")
    assert isinstance(domain, Choice)
    with watcher(Console(file=text), facts_of(Modality.TABULAR), space, Budget(seconds=60.0), time.monotonic()) as seen:
        for number, model in enumerate(map(str, domain.values)):
            trial = replace(trial_row(number, 0.5, 0.1, 1000.0), recipe={"model": model})
            seen.trial_started(number, 0, model, attempt=1)
            seen.trial_ended(trial)
            seen.trial_ended(replace(trial, state=TrialState.FAILED, message="why"))
    lines = text.getvalue().splitlines()
    told = [line.index(f" {word} ") for line in lines for word in ("starts", "accuracy", "failed:") if word in line]
    assert len(told) == len(lines) == 3 * len(domain.values)
    assert len(set(told)) == 1


def test_a_condition_that_always_holds_is_not_told() -> None:
    text = io.StringIO()
    for name in ("module", "images"):
        print_space(Console(file=text, width=200), load_space(name, catalogue()))
    told = text.getvalue()
    assert "model in (module)" not in told
    assert "optimizer in (sgd)" in told
    assert "model in (residual_net)" in told


def test_what_there_was_no_time_for_is_told_with_the_reason() -> None:
    text, space = io.StringIO(), load_space("text", catalogue())
    trial = replace(trial_row(3, None), state=TrialState.STOPPED, message="one epoch takes about 400 s")
    with watcher(Console(file=text), facts_of(Modality.TEXT), space, Budget(seconds=60.0), time.monotonic()) as seen:
        seen.trial_ended(trial)
        seen.trial_ended(replace(trial, message=""))
    first, second = text.getvalue().splitlines()
    assert first.endswith("stopped: one epoch takes about 400 s; a resume tries it again")
    assert second.endswith("stopped before its end; a resume tries it again")


def test_what_is_not_tried_for_one_reason_is_one_line() -> None:
    dropped = (("quantize=fp16", "no trace"), ("impute", "nothing is missing"), ("quantize=bf16", "no trace"))
    told = not_tried(Space(name="s", dimensions=(), dropped=dropped))
    assert told == ["quantize=fp16, quantize=bf16: no trace", "impute: nothing is missing"]
