"""Two ranks train what one process trains: the same steps, weights and decisions. Whether they should is measured."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_gang import SLOTS, HalfUsed, ended, gang_executor, trained, training_job

from autoopt.executors import Failed, Finished, ProcessExecutor, Progress, SlotFreed
from autoopt.files import Store
from autoopt.strategies.learning.probe import STAGE
from autoopt.values import FailureReason

ALONE = SLOTS[:1]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessExecutor]:
    with gang_executor(tmp_path_factory.mktemp("gang")) as made:
        yield made


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["weights"].keys() == other["weights"].keys()
    for name, values in one["weights"].items():
        assert np.allclose(values, other["weights"][name], rtol=1e-3, atol=1e-5), name
    assert np.allclose(one["losses"], other["losses"], rtol=1e-3)


PLAIN = {"optimizer": "sgd", "optimizer.learning_rate": 0.1}


@pytest.mark.parametrize(
    ("kind", "rows", "recipe"),
    [
        pytest.param("mlp", 96, PLAIN, id="even shares"),
        pytest.param("mlp", 67, PLAIN, id="uneven shares and a last batch of three"),
        pytest.param("mlp", 96, {**PLAIN, "gradients.accumulate": 3, "gradients.clip_norm": 0.5}, id="accumulated"),
        pytest.param("mlp", 96, {"optimizer": "adamw", "ema": True, "schedule": "plateau"}, id="adamw and an average"),
    ],
)
def test_two_ranks_come_to_the_weights_of_one_process(
    executor: ProcessExecutor, kind: str, rows: int, recipe: dict[str, Any]
) -> None:
    alone = trained(executor, ALONE, kind=kind, rows=rows, recipe=recipe)
    together = trained(executor, SLOTS, kind=kind, rows=rows, recipe=recipe)
    assert_close(together, alone)


def test_weights_without_a_gradient_on_some_ranks_or_on_all(executor: ProcessExecutor) -> None:
    recipe, before = {**PLAIN, "optimizer.weight_decay": 0.1}, HalfUsed().state_dict()
    found = trained(executor, SLOTS, kind="half_used", recipe=recipe)["weights"]
    assert found["never.weight"] == before["never.weight"].double().flatten().tolist()  # not even decayed
    assert found["sometimes.weight"] != before["sometimes.weight"].double().flatten().tolist()


def test_convolutions_with_normalization_and_dropout_learn_too(executor: ProcessExecutor) -> None:
    recipe = {"optimizer": "adamw", "optimizer.learning_rate": 0.01}
    found = trained(executor, SLOTS, kind="cnn", epochs=12, recipe=recipe)
    assert found["losses"][-1] < 0.8 * found["losses"][0]


def test_what_is_drawn_by_each_rank_is_the_same_each_time(executor: ProcessExecutor) -> None:
    first, second = (trained(executor, SLOTS, kind="cnn")["weights"] for _ in range(2))
    assert first == second


def test_the_leader_says_how_many_epochs_fit(executor: ProcessExecutor) -> None:
    found = trained(executor, SLOTS, epochs=1000, limit_s=0.5)
    assert 1 <= len(found["losses"]) < 1000
    assert any("of 1000 epochs" in note for note in found["notes"])


def test_a_training_goes_on_from_the_leaders_checkpoint(executor: ProcessExecutor, tmp_path: Path) -> None:
    recipe = {"optimizer": "adamw", "ema": True}
    whole = trained(executor, SLOTS, kind="cnn", epochs=4, recipe=recipe)
    folder = str(tmp_path / "mine")
    payload: dict[str, Any] = {"kind": "cnn", "epochs": 4, "recipe": recipe, "checkpoints": folder}
    executor.submit(training_job(SLOTS, victim=1, epoch=3, fate="SIGKILL", **payload))
    ending = ended(executor)
    assert isinstance(ending, Failed)
    assert ending.reason is FailureReason.CRASHED
    executor.submit(training_job(SLOTS, **payload))
    again = ended(executor)
    assert isinstance(again, Finished)
    assert len(again.result["losses"]) < 4
    assert again.result["weights"] == whole["weights"]


# ---- whether they stay together --------------------------------------------------------------------------------------


def settled(executor: ProcessExecutor, store: Path, **payload: Any) -> dict[str, Any]:
    given = {"store": str(store), "recipe": {}, "least_s": 0.0, "least_ratio": 0.0, **payload}
    executor.submit(replace(training_job(SLOTS), entry="support_gang:settle", payload=given))
    while True:
        for event in executor.poll(0.5):
            assert isinstance(event, Progress | SlotFreed | Finished), event
            if isinstance(event, Finished):
                return event.result


def test_ranks_that_lose_little_stay_together_and_others_part(executor: ProcessExecutor, tmp_path: Path) -> None:
    together = settled(executor, tmp_path / "one", least_ratio=0.0)
    assert together["ranks"] == 2
    assert together["notes"][0].startswith("settled by probe: parallel=ddp, as 2 ranks in lock-step had ")
    apart = settled(executor, tmp_path / "two", least_ratio=1e9)
    assert apart["ranks"] == 1
    assert apart["notes"][0].startswith("settled by probe: parallel=none, as 2 ranks in lock-step had ")
    assert apart["spent_s"] > 0  # of the time that the training has


def test_a_verdict_is_kept(executor: ProcessExecutor, tmp_path: Path) -> None:
    first = settled(executor, tmp_path, least_ratio=1e9)
    assert [stage for stage, *_ in Store(tmp_path).entries()] == [STAGE]
    assert settled(executor, tmp_path, least_ratio=0.0)["notes"] == first["notes"]


def test_a_short_training_is_not_probed(executor: ProcessExecutor, tmp_path: Path) -> None:
    found = settled(executor, tmp_path, least_s=1e9)
    assert (found["ranks"], found["notes"]) == (1, ["not probed, the training is short: parallel=none"])


def test_what_the_recipe_says_is_not_measured(executor: ProcessExecutor, tmp_path: Path) -> None:
    found = settled(executor, tmp_path, recipe={"parallel": "ddp"}, least_ratio=1e9)
    assert (found["ranks"], found["notes"], found["spent_s"]) == (2, [], 0.0)
    assert list(Store(tmp_path).entries()) == []
