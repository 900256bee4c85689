"""Images become pixels of one size, decoded on all cores into one array that need not fit into memory."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files.pictures import PictureError, fitted, picture_size, quiet_pictures, read_picture
from autoopt.task.images.found import ImageFile
from autoopt.values import format_bytes

LEAST_SIDE, MOST_SIDE = 8, 512
"""Pixels a side that --image-size may ask for."""
AS_IT_IS = 128
"""Images of one size are kept as they are up to this longer side; others are made squares of at most this."""
_LEAST_DEFAULT, _STEP = 16, 8
_SEEN_IMAGES = 2000  # whose headers tell the usual size
_IN_MEMORY_BYTES = 1 << 30
_MOST_THREADS = 16
_CHUNK = 32

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Pixels of all images, those of damaged ones meaningless."""

    pixels: NDArray[np.uint8]  # (images, height, width, 3); beyond a gigabyte in a mapped file without a name
    words: NDArray[np.uint64]  # (images,) a hash of each one's pixels
    damaged: dict[int, str]  # index → why it could not be read
    small: tuple[int, ...]  # indices of images that were scaled up from fewer than 8 pixels a side


def stored_size(files: Sequence[ImageFile], wanted: int | None) -> tuple[int, int]:
    """(height, width) that all images are kept at.

    A square of the side that is wanted. Else the size that all have, if its sides are 8 to 128 pixels. Else a square of
    the median shorter side, a multiple of 8 within 16 and 128.
    """
    if wanted is not None:
        return wanted, wanted
    seen = np.unique(np.linspace(0, len(files) - 1, num=min(len(files), _SEEN_IMAGES)).astype(int))
    sizes = _sizes([files[int(k)] for k in seen])
    if _is_one_size(sizes) and (len(seen) == len(files) or _is_one_size(_sizes(files))):
        return sizes[0]
    usual = float(np.median([min(size) for size in sizes])) if sizes else _LEAST_DEFAULT
    side = int(np.clip(round(usual / _STEP) * _STEP, _LEAST_DEFAULT, AS_IT_IS))
    return side, side


def decode_all(files: Sequence[ImageFile], height: int, width: int) -> Decoded:
    """Every image at that size. Raises DataError when the pixels do not fit on the disk."""
    pixels = _room(len(files), height, width)
    words = np.zeros(len(files), dtype=np.uint64)

    def decode(at: int) -> str | bool:
        """Why it could not be, or whether it was small."""
        try:
            picture = read_picture(files[at].read(), at_least=2 * max(height, width))
        except PictureError as error:
            return str(error)
        pixels[at] = fitted(picture, height, width)
        words[at] = int.from_bytes(hashlib.blake2b(pixels[at].data, digest_size=8).digest(), "little")
        return bool(min(picture.shape[:2]) < LEAST_SIDE)

    found = _on_all_cores(decode, range(len(files)))
    return Decoded(
        pixels=pixels,
        words=words,
        damaged={k: reason for k, reason in enumerate(found) if isinstance(reason, str)},
        small=tuple(k for k, small in enumerate(found) if small is True),
    )


def put_in_order(pixels: NDArray[np.uint8], order: NDArray[np.int64]) -> None:
    """`pixels[:] = pixels[order]` for a permutation, with room for a single image more."""
    done = np.zeros(len(order), dtype=bool)
    for start in range(len(order)):
        if done[start]:
            continue
        first, at = pixels[start].copy(), start
        while order[at] != start:
            pixels[at] = pixels[order[at]]
            done[at] = True
            at = int(order[at])
        pixels[at] = first
        done[at] = True


def _is_one_size(sizes: Sequence[tuple[int, int]]) -> bool:
    return len(set(sizes)) == 1 and min(sizes[0]) >= LEAST_SIDE and max(sizes[0]) <= AS_IT_IS


def _sizes(files: Sequence[ImageFile]) -> list[tuple[int, int]]:
    """(height, width) of those whose header can be read."""

    def size(at: int) -> tuple[int, int] | None:
        try:
            return picture_size(files[at].read())
        except PictureError:
            return None

    return [found for found in _on_all_cores(size, range(len(files))) if found is not None]


def _room(images: int, height: int, width: int) -> NDArray[np.uint8]:
    shape, size = (images, height, width, 3), images * height * width * 3
    if size <= _IN_MEMORY_BYTES:
        return np.zeros(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        what = f"{images:,} images take {format_bytes(size)} at {height}x{width} pixels, "
        what += f"and {folder} has {format_bytes(free)} free."
        raise DataError(what, "Keep them smaller with --image-size, or set TMPDIR to a folder with more room.")
    with tempfile.TemporaryFile(dir=folder) as file:  # the map keeps the file, which has no name, until it goes
        return np.asarray(np.memmap(file, dtype=np.uint8, mode="w+", shape=shape))


def _on_all_cores(work: Callable[[int], _T], indices: Sequence[int]) -> list[_T]:
    """The results in order. Pillow decodes outside of Python's lock."""
    chunks = [indices[k : k + _CHUNK] for k in range(0, len(indices), _CHUNK)]
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with quiet_pictures(), ThreadPoolExecutor(max_workers=threads) as pool:
        return [found for each in pool.map(lambda chunk: [work(k) for k in chunk], chunks) for found in each]
