"""Augmentation by whoever reads the rows: the same for any number of workers, new in every epoch, and mixing stays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support_pixels import SIDE, image_context, pictures

from autoopt.files import Store
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.augmented_rows import AugmentedRows
from autoopt.strategies.learning.held import held_source
from autoopt.strategies.learning.loader_source import loading
from autoopt.strategies.learning.plan import Plan
from autoopt.strategies.learning.source import Batch
from autoopt.strategies.learning.storage_forms.memory import MemoryRows
from autoopt.strategies.networks.speed import open_choices

ROWS = 64
RECIPE: dict[str, Value] = {"augment": "trivial", "augment.mix": "mixup", "loader.augment_on": "workers"}


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, SIDE, 3), dtype=np.uint8)


def rows(augment: Augment, seed: int = 1) -> AugmentedRows:
    return AugmentedRows(MemoryRows([images(), np.arange(ROWS)]), augment, seed)


def read(workers: int, form: str, store: Store) -> list[Batch]:
    """Two epochs of different orders."""
    context = image_context({**RECIPE, "loader.workers": workers, "storage": form}, store)
    order = torch.Generator().manual_seed(3)
    with loading(
        held_source((torch.from_numpy(images()),), torch.arange(ROWS), context, torch.device("cpu"))
    ) as source:
        return [b for _ in range(2) for b in source.batches(iter(torch.randperm(ROWS, generator=order).split(16)))]


@pytest.mark.parametrize(("workers", "form"), [(1, "memory"), (2, "memory"), (2, "memmap"), (0, "encoded")])
def test_batches_come_augmented_and_hang_on_neither_workers_nor_form(workers: int, form: str, tmp_path: Path) -> None:
    expected, found = read(0, "memory", Store(tmp_path / "a")), read(workers, form, Store(tmp_path / "b"))
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.inputs[0], other.inputs[0])
        assert torch.equal(one.target, other.target)
        untouched = torch.from_numpy(images())[one.target]
        assert one.inputs[0].dtype == torch.uint8
        assert (one.inputs[0] != untouched).flatten(1).any(1).float().mean() > 0.9


def test_what_is_drawn_hangs_on_seed_rows_and_order_alone() -> None:
    augment, chosen = Augment(policy="rand"), np.arange(10)
    pixels, numbers = rows(augment).take(chosen)
    assert np.array_equal(numbers, chosen)
    state = torch.get_rng_state()
    assert np.array_equal(rows(augment).take(chosen)[0], pixels)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(rows(augment, seed=2).take(chosen)[0], pixels)
    assert not np.array_equal(rows(augment).take(chosen[::-1])[0][::-1], pixels)


def test_it_draws_as_the_device_does() -> None:
    """Half of the images are mirrored, whichever batch they are in."""
    mirror = rows(Augment(policy="flip_crop", pad_share=0.0, cutout_share=0.0))
    order = np.random.default_rng(5)
    mirrored = 0
    for _ in range(40):
        chosen = order.permutation(ROWS)[:32]
        mirrored += int((mirror.take(chosen)[0] == images()[chosen][:, :, ::-1]).all(axis=(1, 2, 3)).sum())
    assert 540 < mirrored < 740  # of 1280


def test_the_training_mixes_pairs_and_leaves_the_rest_to_the_readers() -> None:
    plan = Plan.from_recipe(Recipe(RECIPE), epochs=1, patience=1, seed=0, classes=3)
    batch = Batch(inputs=(torch.from_numpy(images()),), target=torch.arange(ROWS) % 3)
    found = plan.augment.apply(batch, torch.Generator().manual_seed(0), 3)
    mixed = Augment(mix="mixup").apply(batch, torch.Generator().manual_seed(0), 3)
    assert torch.equal(found.inputs[0], mixed.inputs[0])
    assert torch.equal(found.target, mixed.target)
    there = Plan.from_recipe(Recipe({**RECIPE, "loader.augment_on": "device"}), epochs=1, patience=1, seed=0)
    assert there.augment == Augment(policy="trivial", mix="mixup")


def test_a_probe_may_settle_it_where_images_are_augmented() -> None:
    augmented = image_context({"augment": "trivial"}, None)
    assert open_choices(pictures(), augmented, held_bytes=1 << 60)["loader.augment_on"] == ("device", "workers")
    assert open_choices(pictures(), augmented, held_bytes=1 << 20)["loader.augment_on"] == ("device",)
    assert "loader.augment_on" not in open_choices(pictures(), image_context({}, None), held_bytes=1 << 60)
