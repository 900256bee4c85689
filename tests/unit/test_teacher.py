"""A network taught by another: what counts of the answers, who learns, and that a taught pruning learns them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support_learning import CutOff, CutOffError, digest, judge_of, perceptron, plan_of, rows_of, source_of
from support_network import Reports, context, digits, task
from torch import Tensor, nn

from autoopt.space.domains import Value
from autoopt.strategies.learning.source import TensorSource
from autoopt.strategies.learning.teacher import Teacher
from autoopt.strategies.learning.training_loop import fit
from autoopt.strategies.model import TableData, Trained
from autoopt.strategies.networks.mlp import MLP
from autoopt.task.facts import Kind

SQUARES = nn.MSELoss()
RECIPE: dict[str, Value] = {"batch_size": 32, "optimizer.learning_rate": 0.01}


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.exp(logits - logits.max(1, keepdims=True))
    return found / found.sum(1, keepdims=True)


def test_the_share_is_the_distance_to_the_answers_and_the_rest_the_targets_loss() -> None:
    torch.manual_seed(0)
    student, answers = torch.randn(7, 3), torch.randn(7, 3)
    of_target = torch.tensor(0.8)
    said, taught = (softmax(x.double().numpy()) for x in (student, answers))
    divergence = (taught * (np.log(taught) - np.log(said))).sum(1).mean()
    for share in (0.25, 1.0):
        found = Teacher.of(perceptron(), share).mixed(of_target, student, answers)
        assert float(found) == pytest.approx((1 - share) * 0.8 + share * divergence, rel=1e-5)


@pytest.mark.parametrize("of_values", [None, SQUARES], ids=["classes", "values"])
def test_a_student_that_says_the_same_has_nothing_to_learn(of_values: nn.Module | None) -> None:
    inputs, _ = rows_of(4)
    student = perceptron()
    teacher = Teacher.of(student, 1.0, of_values)
    same = teacher.mixed(torch.tensor(5.0), student(inputs), teacher.answers((inputs,)))
    assert float(same.detach()) == pytest.approx(0.0, abs=1e-6)
    other = teacher.mixed(torch.tensor(5.0), 2 * student(inputs), teacher.answers((inputs,)))
    assert float(other.detach()) > 1e-3


class Noting(nn.Module):
    """Another network, that notes what it was given."""

    def __init__(self, inner: nn.Module, given: list[Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.given = given

    def __deepcopy__(self, memo: object) -> "Noting":
        return self

    def forward(self, rows: Tensor) -> Tensor:
        self.given.append(rows.detach().clone())
        return self.inner(rows)


def test_only_the_student_learns_from_the_very_same_rows() -> None:
    seen: list[Tensor] = []
    knows = Noting(perceptron(normalized=True), seen)  # with batch statistics and dropout of its own
    teacher = Teacher.of(knows, 0.5)
    before, asked = digest(knows), []
    student = Noting(perceptron(), asked)
    plan = plan_of({"gradients.accumulate": 2}, epochs=2)
    fit(student, source_of(4), judge_of(4), plan, Reports(), teacher=teacher)
    assert digest(knows) == before
    assert not knows.training
    assert all(p.grad is None and not p.requires_grad for p in knows.parameters())
    assert digest(student.inner) != digest(perceptron())
    learned = [rows for rows in asked if len(rows) < 60]  # the judge's are 60
    assert len(seen) == len(learned) > 20
    assert all((a == b).all() for a, b in zip(seen, learned, strict=True))


def test_what_is_taught_goes_on_with_a_copy() -> None:
    network = perceptron()
    teacher = Teacher.of(network, 0.5)
    before = digest(teacher.network)
    with torch.no_grad():
        network[0].weight.zero_()
    assert digest(teacher.network) == before
    assert all(p.requires_grad for p in network.parameters())


def test_cut_off_it_comes_to_the_same_weights(tmp_path: Path) -> None:
    plan = replace(plan_of({"schedule": "one_cycle"}, epochs=4), checkpoint_every_s=0.0)

    def taught(folder: Path | None, reports: Reports) -> str:
        student = perceptron()
        teacher = Teacher.of(perceptron(normalized=True), 0.7)
        fit(student, source_of(4), judge_of(4), plan, reports, checkpoints=folder, teacher=teacher)
        return digest(student)

    with pytest.raises(CutOffError):
        taught(tmp_path / "mine", CutOff(2))
    reports = Reports()
    assert taught(tmp_path / "mine", reports) == taught(None, Reports())
    assert [step for step, _ in reports.seen] == [3, 4]


def unlearnable(data: TableData) -> TableData:
    """With targets that say nothing, so that whoever knows the rows has it from the teacher."""
    order = np.random.default_rng(1).permutation(len(data.train_target))
    return replace(data, train_target=data.train_target[order])


@cache
def learned(data_of: Callable[[], TableData]) -> tuple[TableData, MLP, Trained]:
    data, model = data_of(), MLP(width=32, depth=1, epochs=8)
    return data, model, model.train(data, context(RECIPE))


def pruned(
    data_of: Callable[[], TableData], taught: float, **changes: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(scores of the whole network, scores of what is left of it after fine-tuning on targets that say nothing)."""
    data, model, whole = learned(data_of)
    recipe = {**RECIPE, "prune": "channels", "prune.share": 0.5, "prune.epochs": 4, "prune.rate_share": 1.0}
    recipe |= {"prune.taught": taught, **changes}
    return whole.valid_scores, model.shrink(whole.artifact, unlearnable(data), context(recipe)).valid_scores


def test_a_pruned_network_learns_classes_from_the_one_it_was_cut_out_of() -> None:
    agreement = {}
    for taught in (0.0, 1.0):
        whole, left = pruned(digits, taught)
        agreement[taught] = float(np.mean(whole.argmax(1) == left.argmax(1)))
    assert agreement[1.0] > 0.9
    assert agreement[0.0] < 0.7


def values() -> TableData:
    return task(Kind.REGRESSION)


def test_a_pruned_network_learns_values_from_it() -> None:
    distance = {}
    for taught in (0.0, 1.0):
        whole, left = pruned(values, taught)
        distance[taught] = float(np.abs(whole - left).mean() / np.abs(whole - whole.mean()).mean())
    assert distance[1.0] < 0.5 < distance[0.0]


def test_zeroed_weights_are_taught_by_the_network_before() -> None:
    whole, left = pruned(digits, 1.0, prune="magnitude")
    assert float(np.mean(whole.argmax(1) == left.argmax(1))) > 0.9


def test_images_are_seen_as_augmentation_made_them() -> None:
    """Where batches change on their way, both see the changed ones: a source's rows are not what counts."""
    images, target = rows_of(6, 6, 3, rows=32)
    pixels = (images.clamp(-1, 1) * 100 + 120).to(torch.uint8)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(108, 3)

        def forward(self, rows: Tensor) -> Tensor:
            return self.head(rows.float().flatten(1) / 255)

    torch.manual_seed(2)
    seen: list[Tensor] = []
    asked: list[Tensor] = []
    teacher = Teacher.of(Noting(Flat(), seen), 0.5)
    judge = replace(judge_of(4), parts=lambda: iter([(pixels[:1],)]), score=lambda scores: 0.0)
    plan = plan_of({"augment": "flip_crop"}, epochs=1)
    fit(Noting(Flat(), asked), TensorSource((pixels,), target), judge, plan, Reports(), teacher=teacher)
    learned = [rows for rows in asked if len(rows) > 1]
    assert all((a == b).all() for a, b in zip(seen, learned, strict=True))
    plain = {row.numpy().tobytes() for row in pixels}
    assert any(row.numpy().tobytes() not in plain for batch in seen for row in batch)
