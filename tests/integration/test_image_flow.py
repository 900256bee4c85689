"""Recipes for images taken through every stage: one training serves every way of deploying it."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_squares import squares
from support_stages import Place, make_place

from autoopt.runtime import Session
from autoopt.space.recipe import Recipe
from autoopt.stages import train
from autoopt.stages.flow import SHARE_BEFORE_PRUNING
from autoopt.stages.rows import feed_of
from autoopt.stages.runners import GRAPH
from autoopt.strategies.model import TrainingContext
from autoopt.task.snapshot import Snapshot

pytestmark = pytest.mark.usefixtures("short_timing")

RECIPE: dict[str, Any] = {
    "model": "residual_net",
    "residual_net.width": 8,
    "residual_net.epochs": 6,
    "augment": "flip_crop",
    "batch_size": 16,
    "optimizer": "adamw",
    "optimizer.learning_rate": 0.005,
    "schedule": "one_cycle",
    "loss.label_smoothing": 0.1,
    "memory_format": "channels_last",
    "quantize": "none",
    "mirror": False,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Coloured squares in a folder for each colour."""
    folder, data = tmp_path_factory.mktemp("squares"), squares(rows=150)
    for number, (picture, kind) in enumerate(zip(data.train.pixels, data.train_target, strict=True)):
        file = folder / "pictures" / f"colour{kind}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return make_place(folder, str(folder / "pictures"))


def recipe(**changes: Any) -> Recipe:
    return Recipe({**RECIPE, **changes})


def test_mirror_and_int8_share_the_training(place: Place) -> None:
    plain = place.evaluate(recipe())
    assert plain.measures["quality"].value > 0.7
    for changes in ({"mirror": True}, {"quantize": "static_int8"}, {"mirror": True, "quantize": "static_int8"}):
        found = place.evaluate(recipe(**changes))
        assert {s.name: s.hit for s in found.stages}["train"], changes
        assert found.artifact_sha256 != plain.artifact_sha256
        assert abs(found.measures["quality"].value - plain.measures["quality"].value) < 0.15


@pytest.mark.slow
def test_a_mirrored_pick_is_verified_by_its_quality_and_has_a_twin(place: Place) -> None:
    result = place.verify(
        recipe(mirror=True), recipe(mirror=True, quantize="static_int8"), tolerance=0.2, look_at_test=True
    )
    assert result.float_artifact.parity["gate"] == "quality"
    assert result.twin is not None, result.twin_reason
    assert result.twin.recipe["mirror"] is True
    assert result.twin.size_bytes < result.float_artifact.size_bytes


def test_the_deployed_graph_judges_an_image_and_its_mirror_image_alike(place: Place, tmp_path: Path) -> None:
    result = place.evaluate(recipe(mirror=True))
    graph = Path(place.store) / "deploy" / result.artifact_key / GRAPH
    snapshot = Snapshot.open(place.snapshot)
    feed = feed_of(snapshot.facts, snapshot.part("valid"))
    (name,) = feed
    session = Session(graph.read_bytes())
    assert session.run(feed) == pytest.approx(session.run({name: feed[name][:, :, ::-1].copy()}), abs=1e-5)


def test_training_and_pruning_share_the_time_and_what_went_before_is_taken_off(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, float] = {}

    def noting(stage: str) -> Any:
        made = getattr(train, stage)

        def note(*arguments: Any) -> None:
            given[stage] = next(a.limit_s for a in arguments if isinstance(a, TrainingContext))
            made(*arguments)

        return note

    for stage in ("train", "shrink"):
        monkeypatch.setattr(train, stage, noting(stage))
    pruned = recipe(**{"prune": "magnitude", "prune.epochs": 1, "residual_net.epochs": 1})
    place.evaluate(pruned, training_limit_s=1000.0)
    assert 0 < given["train"] < SHARE_BEFORE_PRUNING * 1000
    assert given["train"] < given["shrink"] < 1000
    place.evaluate(recipe(**{"residual_net.epochs": 2}), training_limit_s=1000.0)
    assert SHARE_BEFORE_PRUNING * 1000 < given["train"] < 1000
