"""What augmentation promises: shapes, types and the range stay, targets stay shares, the generator decides all."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoopt.strategies.learning import augment_ops as ops
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.source import Batch

CLASSES = 5

sides = st.integers(8, 20)
shares = st.floats(0.0, 1.0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(rows: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (rows, height, width, 3), dtype=torch.uint8, generator=generator(seed))


def batch_of(pixels: Tensor) -> Batch:
    return Batch(inputs=(pixels,), target=torch.arange(len(pixels)) % CLASSES)


augments = st.builds(
    Augment,
    policy=st.sampled_from(("none", "flip_crop", "trivial", "rand")),
    flip=st.booleans(),
    pad_share=st.floats(0.0, 0.5),
    cutout_share=st.floats(0.0, 0.8),
    brightness=st.floats(0.0, 0.8),
    contrast=st.floats(0.0, 0.8),
    strength=shares,
    mix=st.sampled_from(("none", "mixup", "cutmix")),
    mix_alpha=st.floats(0.05, 4.0),
)


@settings(deadline=None)
@given(augment=augments, rows=st.integers(1, 9), height=sides, width=sides, seed=st.integers(0, 99))
def test_shape_type_and_shares_stay_and_the_generator_decides_all(
    augment: Augment, rows: int, height: int, width: int, seed: int
) -> None:
    pixels = images(rows, height, width)
    before = pixels.clone()
    found = augment.apply(batch_of(pixels), generator(seed), CLASSES)
    assert found.inputs[0].shape == pixels.shape
    assert found.inputs[0].dtype == torch.uint8
    assert torch.equal(pixels, before)  # what came in is the source's own tensor
    if found.target.is_floating_point():
        assert found.target.shape == (rows, CLASSES)
        assert torch.allclose(found.target.sum(1), torch.ones(rows), atol=1e-5)
        assert float(found.target.min()) >= 0
    torch.rand(3)  # torch's global state has no part in it
    again = augment.apply(batch_of(pixels), generator(seed), CLASSES)
    assert torch.equal(found.inputs[0], again.inputs[0])
    assert torch.equal(found.target, again.target)


@settings(deadline=None)
@given(augment=augments, seed=st.integers(0, 99))
def test_float_pixels_stay_float_within_the_range(augment: Augment, seed: int) -> None:
    found = augment.apply(batch_of(images(4, 9, 9).float()), generator(seed), CLASSES).inputs[0]
    assert found.dtype == torch.float32
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255


@settings(deadline=None)
@given(height=sides, width=sides, share=st.floats(0.0, 0.5), seed=st.integers(0, 99))
def test_every_moved_image_is_a_crop_of_the_reflected_one_or_of_its_mirror(
    height: int, width: int, share: float, seed: int
) -> None:
    pixels = images(3, height, width)
    found = ops.moved(pixels, flip=True, pad_share=share, generator=generator(seed))
    down, right = round(share * height), round(share * width)
    padded = torch.nn.functional.pad(pixels.permute(0, 3, 1, 2).float(), (right, right, down, down), mode="reflect")
    for row in range(len(pixels)):
        image = padded[row].permute(1, 2, 0).to(torch.uint8)
        crops = [image[y : y + height, x : x + width] for y in range(2 * down + 1) for x in range(2 * right + 1)]
        assert any(torch.equal(found[row], c) or torch.equal(found[row], c.flip(1)) for c in crops)


def test_half_of_many_images_are_mirrored_and_none_without_flip() -> None:
    pixels = images(1, 8, 8).expand(1000, 8, 8, 3)
    found = ops.moved(pixels, flip=True, pad_share=0.0, generator=generator(0))
    mirrored = (found == pixels.flip(2)).flatten(1).all(1)
    assert 400 < int(mirrored.sum()) < 600
    assert torch.equal(ops.moved(pixels, flip=False, pad_share=0.0, generator=generator(0)), pixels)


@settings(deadline=None)
@given(share=st.floats(0.0, 0.8), height=sides, width=sides, seed=st.integers(0, 99))
def test_cutout_covers_a_square_at_most_and_with_one_colour(share: float, height: int, width: int, seed: int) -> None:
    pixels = images(4, height, width)
    found = ops.cut_out(pixels, share, generator(seed))
    changed = (found != pixels).any(dim=3)
    assert int(changed.flatten(1).sum(1).max()) <= (round(share * min(height, width)) + 1) ** 2
    assert len(found[changed].unique(dim=0)) <= 1


@settings(deadline=None)
@given(alpha=st.floats(0.05, 4.0), seed=st.integers(0, 99))
def test_mixes_weigh_targets_as_they_weigh_pixels(alpha: float, seed: int) -> None:
    target = torch.eye(CLASSES)
    flat = (target @ torch.arange(CLASSES).float() * 50)[:, None, None, None].expand(CLASSES, 16, 12, 3)
    for mixed in (ops.mixup, ops.cutmix):
        pixels, shares = mixed(flat, target, alpha, generator(seed))
        of_pixels = pixels.mean(dim=(1, 2, 3))  # of images of one colour, in which the class number can be read
        assert torch.allclose(of_pixels, shares @ torch.arange(CLASSES).float() * 50, atol=1e-2)


def test_mixed_values_of_a_regression_stay_in_their_column() -> None:
    batch = Batch(inputs=(images(6, 8, 8),), target=torch.arange(6.0)[:, None])
    found = Augment(mix="mixup").apply(batch, generator(1), 0).target
    assert found.shape == (6, 1)
    assert float(found.sum()) == pytest.approx(15.0)


def test_without_strength_the_operations_leave_images_almost_as_they_are() -> None:
    pixels = images(300, 9, 9)
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255  # autocontrast has nothing to stretch
    found = ops.operated(pixels, 0.0, drawn=False, generator=generator(0))
    assert int((found.int() - pixels.int()).abs().max()) <= 1


def test_with_strength_every_operation_but_one_changes_something() -> None:
    pixels = images(400, 9, 9) // 2 + 40
    found = ops.operated(pixels, 1.0, drawn=False, generator=generator(0))
    untouched = (found == pixels).flatten(1).all(1)
    assert 0.02 < float(untouched.float().mean()) < 0.2  # about one in eleven


def test_brightness_moves_each_image_by_its_own_factor() -> None:
    pixels = torch.full((200, 8, 8, 3), 100, dtype=torch.uint8)
    found = ops.lit(pixels, 0.5, 0.0, generator(0)).float().mean(dim=(1, 2, 3))
    assert 50 <= float(found.min()) < 60
    assert 140 < float(found.max()) <= 150


def test_nothing_asked_gives_the_very_batch_back() -> None:
    batch = batch_of(images(3, 8, 8))
    assert Augment().apply(batch, generator(0), CLASSES) is batch


@pytest.mark.parametrize("field", ["pad_share", "cutout_share", "flip"])
def test_fields_of_the_changes_count_only_with_a_change(field: str) -> None:
    conditions: dict[str, Any] = {d.name: dict(d.when) for d in Augment.declarations()}
    assert conditions[f"augment.{field}"]["augment"] == ("flip_crop", "trivial", "rand")
    assert conditions["augment.mix_alpha"]["augment.mix"] == ("mixup", "cutmix")
