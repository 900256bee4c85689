"""Resolution and the preparer of images: what training sees is what the deployed graph makes of the same rows."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support_images import noise

from autoopt.files.pictures import fitted
from autoopt.space.recipe import Recipe
from autoopt.stages.preparing import PREPARERS, LoadJob, PrepareJob
from autoopt.stages.preparing.images import ImagePreparer, resolution_graph
from autoopt.strategies.images.resolution import Resolution, scaled_size
from autoopt.strategies.model import FEATURES, IR_VERSION
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import Kind, Modality, TaskFacts, TensorFacts
from autoopt.task.snapshot import Part
from autoopt.values import Slot

RESOLUTIONS = ("full", "three_quarters", "half")
SLOT = Slot(index=0, device="cpu", threads=1)


def facts_of(height: int, width: int, modality: Modality = Modality.IMAGES) -> TaskFacts:
    return TaskFacts(
        name="pictures",
        modality=modality,
        kind=Kind.BINARY,
        metric="accuracy",
        metric_direction="maximize",
        target="class",
        classes=("a", "b"),
        numeric_classes=False,
        columns=(),
        rows={"train": 6, "valid": 3, "test": 3},
        fingerprint="f",
        tensors=(TensorFacts(name="image", dtype="uint8", shape=(height, width, 3)),),
    )


def part_of(rows: int, height: int, width: int, seed: int) -> Part:
    pixels = np.stack([noise(height, width, seed * 100 + k) for k in range(rows)])
    return Part(
        numbers=np.zeros((rows, 0)),
        categories=np.zeros((rows, 0), dtype=object),
        target=np.arange(rows) % 2,
        row_ids=np.arange(1, rows + 1),
        tensors=(pixels,),
    )


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 30)])
def test_training_sees_what_the_deployed_graph_makes(resolution: str, height: int, width: int, tmp_path: Path) -> None:
    facts, recipe = facts_of(height, width), Recipe({"resolution": resolution})
    parts = {"train": part_of(6, height, width, 1), "valid": part_of(3, height, width, 2)}
    preparer = PREPARERS[Modality.IMAGES]
    job = PrepareJob(facts=facts, train=parts["train"], valid=parts["valid"], recipe=recipe, seed=0)
    preparer.prepare(job, tmp_path)
    graph = preparer.graph(tmp_path)
    assert graph is not None
    assert graph.ir_version == IR_VERSION
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for name in ("train", "valid"):
        found = preparer.load(
            LoadJob(folder=tmp_path, facts=facts, part_name=name, part=parts[name], recipe=recipe)  # type: ignore[arg-type]
        )
        assert isinstance(found, Pixels)
        assert found.pixels.dtype == np.uint8
        assert found.pixels.shape == (parts[name].rows, *scaled_size(resolution, height, width), 3)
        for k in range(parts[name].rows):  # row by row: the batch makes no difference
            (alone,) = session.run([FEATURES], {"image": parts[name].tensors[0][k : k + 1]})
            np.testing.assert_array_equal(found.pixels[k : k + 1], alone)


def test_full_copies_nothing(tmp_path: Path) -> None:
    facts, recipe, part = facts_of(16, 16), Recipe({}), part_of(3, 16, 16, 1)
    ImagePreparer().prepare(PrepareJob(facts=facts, train=part, valid=part, recipe=recipe, seed=0), tmp_path)
    found = ImagePreparer().load(LoadJob(folder=tmp_path, facts=facts, part_name="train", part=part, recipe=recipe))
    assert np.shares_memory(found.pixels, part.tensors[0])
    assert [p.suffix for p in tmp_path.iterdir()] == [".onnx"]


def test_scaled_pixels_are_mapped_not_read(tmp_path: Path) -> None:
    facts, recipe, part = facts_of(16, 16), Recipe({"resolution": "half"}), part_of(3, 16, 16, 1)
    ImagePreparer().prepare(PrepareJob(facts=facts, train=part, valid=part, recipe=recipe, seed=0), tmp_path)
    found = ImagePreparer().load(LoadJob(folder=tmp_path, facts=facts, part_name="valid", part=part, recipe=recipe))
    assert isinstance(found.pixels.base, np.memmap)


@pytest.mark.parametrize("resolution", RESOLUTIONS[1:])
def test_it_scales_with_antialiasing_as_pillow_does(resolution: str) -> None:
    smooth = np.stack([fitted(noise(4, 4, k), 32, 32) for k in range(4)])
    session = onnxruntime.InferenceSession(
        resolution_graph(TensorFacts(name="image", dtype="uint8", shape=(32, 32, 3)), resolution).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    (found,) = session.run([FEATURES], {"image": smooth})
    expected = np.stack([fitted(picture, *found.shape[1:3]) for picture in smooth])
    assert np.abs(found.astype(int) - expected).max() <= 2
    checks = np.indices((32, 32)).sum(axis=0) % 2 * np.uint8(255)  # without antialiasing it would stay black and white
    (grey,) = session.run([FEATURES], {"image": np.repeat(checks.astype(np.uint8)[None, :, :, None], 3, axis=3)})
    assert 60 < grey[0, 4:-4, 4:-4].mean() < 195
    assert grey[0, 4:-4, 4:-4].std() < 60


def test_it_applies_to_images_that_stay_large_enough() -> None:
    assert Resolution.applies(facts_of(32, 32), SLOT) is None
    assert "no images" in str(Resolution.applies(facts_of(32, 32, Modality.TABULAR), SLOT))
    assert Resolution.value_applies("half", facts_of(16, 40), SLOT) is None
    assert "least" in str(Resolution.value_applies("half", facts_of(12, 40), SLOT))
    assert Resolution.value_applies("full", facts_of(4, 4), SLOT) is None
