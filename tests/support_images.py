"""Small pictures and folders of them, written by Pillow."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(height: int = 12, width: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    """A picture that no other seed gives: uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(picture: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_picture(path: Path, picture: NDArray[Any] | Image.Image | None = None, seed: int = 0) -> Path:
    """A picture in the format of its ending, its folders made; noise where none is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = (
        picture
        if isinstance(picture, Image.Image)
        else Image.fromarray(noise(seed=seed) if picture is None else picture)
    )
    image.save(path)
    return path


def write_classes(folder: Path, counts: Mapping[str, int], *, height: int = 12, width: int = 12) -> Path:
    """A folder for each class with so many pictures, no two alike."""
    seed = 1000
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            seed += 1
            write_picture(folder / label / f"{k:03d}.png", noise(height, width, seed))
    return folder
