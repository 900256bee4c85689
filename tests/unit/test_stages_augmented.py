"""The picture of augmented images: originals above, drawn anew below, nothing where nothing is augmented."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support_modalities import HEIGHT, ROWS, WIDTH, facts_of, image_task

from autoopt.space.recipe import Recipe
from autoopt.stages.augmented import DRAWS, IMAGES, save_augmented
from autoopt.stages.contract import AUGMENTED
from autoopt.strategies.model import TrainingData
from autoopt.strategies.prepared import Pixels, Tokens
from autoopt.task.facts import Modality


def data() -> TrainingData[Any]:
    facts, part = image_task()
    pixels = Pixels(pixels=part.tensors[0])
    return TrainingData(facts=facts, train=pixels, train_target=part.target, valid=pixels, valid_target=part.target)


def saved(folder: Path, seed: int = 7, **recipe: Any) -> np.ndarray:
    folder.mkdir()
    save_augmented(data(), Recipe(recipe), seed, folder)
    return np.asarray(Image.open(folder / AUGMENTED))


@pytest.mark.parametrize(
    "recipe", [{"augment": "flip_crop"}, {"augment": "rand", "augment.mix": "cutmix"}, {"augment.mix": "mixup"}]
)
def test_originals_are_above_what_was_made_of_them(tmp_path: Path, recipe: dict[str, Any]) -> None:
    picture = saved(tmp_path / "one", **recipe)
    tile = (HEIGHT + 4, WIDTH + 4)
    assert picture.shape == (tile[0] * (1 + DRAWS), tile[1] * IMAGES, 3)
    tiles = picture.reshape(1 + DRAWS, tile[0], IMAGES, tile[1], 3).swapaxes(1, 2)[:, :, 2:-2, 2:-2]
    chosen = np.linspace(0, ROWS - 1, num=IMAGES).round().astype(int)
    assert np.array_equal(tiles[0], data().train.pixels[chosen])
    assert all((tiles[k] != tiles[0]).any() for k in range(1, 1 + DRAWS))
    assert np.array_equal(picture, saved(tmp_path / "again", **recipe))
    assert not np.array_equal(picture, saved(tmp_path / "other", seed=8, **recipe))


def test_nothing_is_drawn_where_nothing_is_augmented(tmp_path: Path) -> None:
    save_augmented(data(), Recipe({"augment": "none"}), 1, tmp_path)
    tokens = Tokens(codes=np.ones((3, 2), dtype=np.int64), vocabulary=3)
    of_texts = TrainingData(
        facts=facts_of(Modality.TEXT), train=tokens, train_target=np.arange(3), valid=tokens, valid_target=np.arange(3)
    )
    save_augmented(of_texts, Recipe({"augment": "rand"}), 1, tmp_path)
    assert list(tmp_path.iterdir()) == []
