"""Checkpoints: a training that was cut off goes on and comes to the same weights, bit for bit."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
import safetensors.numpy
import torch
from support_learning import (
    CutOff,
    CutOffError,
    Watched,
    convolutional,
    digest,
    judge_of,
    perceptron,
    plan_of,
    source_of,
)
from support_network import Reports, context, task
from torch import nn

from autoopt.files.hashing import sha256_file
from autoopt.space.domains import Value
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.kept_state import MANIFEST
from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.source import Batch, Source, TensorSource
from autoopt.strategies.learning.training_loop import Learned, fit
from autoopt.strategies.model import Trained
from autoopt.strategies.networks.mlp import MLP
from autoopt.task.facts import Kind

EPOCHS = 6
RECIPES: dict[str, dict[str, Value]] = {
    "adamw": {"schedule": "one_cycle"},
    "momentum and average": {"optimizer": "sgd", "optimizer.momentum": 0.9, "ema": True, "schedule": "cosine"},
    "nesterov": {"optimizer": "sgd", "optimizer.nesterov": True, "gradients.clip_norm": 0.5},
    "muon": {"optimizer": "muon", "schedule": "exponential"},
    "rmsprop": {"optimizer": "rmsprop", "schedule": "plateau", "optimizer.learning_rate": 1e-5},
    "scaled": {"precision": "fp16", "optimizer": "adam"},
}


def always(plan: Plan) -> Plan:
    return dataclasses.replace(plan, checkpoint_every_s=0.0)


def plan(recipe: dict[str, Value] | None = None) -> Plan:
    return always(plan_of(recipe or RECIPES["adamw"], epochs=EPOCHS))


def train(
    wanted: Plan, folder: Path | None, reports: Reports | None = None, *, network: nn.Module | None = None
) -> tuple[str, Learned]:
    """The weights that a training comes to; its random numbers are those of a process of its own."""
    network = network or perceptron(normalized=True)
    with torch.random.fork_rng():
        torch.manual_seed(9)
        learned = fit(network, source_of(4), judge_of(4), wanted, reports or Reports(), checkpoints=folder)
    return digest(network), learned


def cut_off(wanted: Plan, folder: Path, after: int) -> None:
    with pytest.raises(CutOffError):
        train(wanted, folder, CutOff(after))


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_was_cut_off_twice_comes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    wanted, folder = plan(RECIPES[name]), tmp_path / "mine"
    undisturbed = train(wanted, None)
    cut_off(wanted, folder, 2)
    cut_off(wanted, folder, 4)
    reports = Reports()
    found = train(wanted, folder, reports)
    assert found[0] == undisturbed[0]
    assert (found[1].epoch, found[1].value) == (undisturbed[1].epoch, undisturbed[1].value)
    assert [step for step, _ in reports.seen] == [5, 6]
    assert "went on from a checkpoint of epoch 4" in found[1].notes


def test_a_convolutional_network_with_augmentation_too(tmp_path: Path) -> None:
    wanted = dataclasses.replace(plan(RECIPES["momentum and average"]), augment=Augment(policy="trivial", mix="mixup"))

    class FromPixels(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = convolutional()

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixels.float().permute(0, 3, 1, 2) / 255)

    def pixels() -> Source:
        random = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (64, 6, 6, 3), generator=random, dtype=torch.uint8)
        return TensorSource((images,), torch.randint(0, 3, (64,), generator=random))

    def trained(folder: Path | None, reports: Reports) -> str:
        network = FromPixels()
        with torch.random.fork_rng():
            torch.manual_seed(9)
            fit(network, pixels(), judge_of(6, 6, 3), wanted, reports, checkpoints=folder)
        return digest(network)

    undisturbed = trained(None, Reports())
    with pytest.raises(CutOffError):
        trained(tmp_path / "mine", CutOff(3))
    assert trained(tmp_path / "mine", Reports()) == undisturbed


def test_patience_is_kept_over_a_cut(tmp_path: Path) -> None:
    judge = dataclasses.replace(judge_of(4), score=lambda _: 0.5)
    wanted = always(plan_of(epochs=20, patience=4))

    def epochs(reports: Reports) -> int:
        return fit(perceptron(), source_of(4), judge, wanted, reports, checkpoints=tmp_path / "mine").epochs

    with pytest.raises(CutOffError):
        epochs(CutOff(3))
    assert epochs(Reports()) == 5


def test_a_short_training_leaves_none_and_one_without_a_folder_neither(tmp_path: Path) -> None:
    train(plan_of(epochs=EPOCHS), tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_is_kept_and_it_is_plain_tensors_and_json(tmp_path: Path) -> None:
    cut_off(plan(), tmp_path, 3)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert {path.name for path in tmp_path.iterdir()} == {MANIFEST, manifest["file"]}
    assert manifest["values"]["epoch"] == 3
    names = safetensors.numpy.load_file(tmp_path / manifest["file"]).keys()
    assert {"network/0.weight", "best/0.weight", "optimizer0/0/exp_avg", "random/torch", "random/shuffle"} <= names


def flipped(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def truncated(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])


def lost(folder: Path) -> None:
    next(folder.glob("*.safetensors")).unlink()


def garbled(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def changed(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    raw["values"]["plain"] = None
    (folder / MANIFEST).write_text(json.dumps(raw))


def emptied(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]")


def escaping(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    path = next(folder.glob("*.safetensors"))
    path.rename(folder.parent / path.name)
    raw["file"] = f"../{path.name}"
    (folder / MANIFEST).write_text(json.dumps(raw))


@pytest.mark.parametrize("damage", [flipped, truncated, lost, garbled, changed, emptied, escaping])
def test_a_damaged_checkpoint_is_removed_and_the_training_begins_anew(damage: object, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    undisturbed, _ = train(plan(), None)
    cut_off(plan(), folder, 3)
    damage(folder)  # type: ignore[operator]
    wanted = dataclasses.replace(plan(), checkpoint_every_s=1e9)
    raw = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(raw.replace("checkpoint_every_s=0.0", "checkpoint_every_s=1000000000.0"))
    reports = Reports()
    found, learned = train(wanted, folder, reports)
    assert found == undisturbed
    assert [step for step, _ in reports.seen] == [1, 2, 3, 4, 5, 6]
    assert len(learned.notes) == 1
    assert not folder.exists()


def test_the_checkpoint_of_another_plan_or_network_is_not_taken(tmp_path: Path) -> None:
    cut_off(plan(), tmp_path / "mine", 3)
    other = plan({"optimizer.learning_rate": 0.5})
    assert train(other, tmp_path / "mine")[0] == train(other, None)[0]
    cut_off(plan(), tmp_path / "yours", 3)
    found, learned = train(plan(), tmp_path / "yours", network=perceptron())
    assert found == train(plan(), None, network=perceptron())[0]
    assert len(learned.notes) == 1


def test_a_disk_that_takes_nothing_costs_the_checkpoint_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found, _ = train(plan(), tmp_path / "file" / "mine")
    assert found == train(plan(), None)[0]


def test_rows_come_in_the_order_of_the_undisturbed_training(tmp_path: Path) -> None:
    def seen(folder: Path | None, reports: Reports) -> list[float]:
        found: list[float] = []

        def note(batch: Batch) -> None:
            found.extend(batch.inputs[0][:, 0].tolist())

        fit(perceptron(), Watched(source_of(4), note), judge_of(4), plan(), reports, checkpoints=folder)
        return found

    undisturbed = seen(None, Reports())
    with pytest.raises(CutOffError):
        seen(tmp_path / "mine", CutOff(4))
    assert seen(tmp_path / "mine", Reports()) == undisturbed[-2 * 96 :]


def test_the_mlp_goes_on_from_the_folder_of_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    data, model = task(Kind.BINARY, embed=True), MLP(width=16, epochs=5)

    def trained(name: str, reports: Reports) -> tuple[Trained, str]:
        def report(step: int, values: dict[str, float]) -> None:
            now[0] += 60.0  # so that every epoch is worth a checkpoint
            reports(step, values)

        found = model.train(data, dataclasses.replace(context(), report=report, checkpoints=tmp_path / name))
        saved = tmp_path / f"{name} saved"
        saved.mkdir()
        found.artifact.save(saved)
        return found, sha256_file(saved / "weights.safetensors")

    whole, expected = trained("undisturbed", Reports())
    with pytest.raises(CutOffError):
        trained("cut off", CutOff(3))
    found, weights = trained("cut off", Reports())
    assert "went on from a checkpoint of epoch 3" in found.notes
    assert weights == expected
    assert (found.valid_scores == whole.valid_scores).all()
