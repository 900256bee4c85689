"""Pictures: the bytes of an image file become pixels, the same way when a task is made and when it is predicted for.

What is read is JPEG, PNG, GIF (its first frame), BMP, WebP, TIFF and PPM; formats that run programs or read other files
(EPS, WMF) are not. Pillow is imported when the first picture is read.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_PIXELS = 89_000_000
"""A picture of more is refused before it is decoded: a few kilobytes can hold billions. Pillow warns from here on."""
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_BROKEN = (
    OSError,  # cut short, and Pillow's UnidentifiedImageError
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What decoders raise at damaged bytes."""


class PictureError(ValueError):
    """Bytes that are no picture; the text goes on from the file's name: 'is cut short or damaged'."""


def read_picture(content: bytes, at_least: int | None = None) -> NDArray[np.uint8]:
    """The pixels of an image file: uint8 (height, width, 3), RGB, turned as its EXIF orientation says.

    Alpha lies on white; 16 bits become 8; of an animation the first frame. A JPEG whose sides are all several times
    `at_least` pixels is decoded at a half, a quarter or an eighth of its size, never below `at_least`.
    Raises PictureError.
    """
    try:
        with _opened(content) as image:
            if at_least is not None and image.format in ("JPEG", "MPO"):
                image.draft(None, (at_least, at_least))
            image.load()
            turned = _turned(_as_rgb(image), _orientation(image))
            return np.array(turned, dtype=np.uint8)
    except _bombs() as error:
        raise _too_large() from error
    except PictureError:
        raise
    except _BROKEN as error:
        raise _damaged(content) from error


def picture_size(content: bytes) -> tuple[int, int]:
    """(height, width) as `read_picture` gives it without `at_least`, from the header alone. Raises PictureError."""
    try:
        with _opened(content) as image:
            lies = image.format != "TIFF" and _orientation(image) >= 5  # Pillow turns a TIFF's size by itself
            return (image.width, image.height) if lies else (image.height, image.width)
    except _bombs() as error:
        raise _too_large() from error
    except PictureError:
        raise
    except _BROKEN as error:
        raise _damaged(content) from error


def fitted(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture (h, w, 3) scaled until it covers (height, width), and the centre of that: uint8 (height, width, 3).

    Bilinear with antialiasing where it shrinks.
    """
    from PIL import Image

    h, w = picture.shape[:2]
    if (h, w) == (height, width):
        return picture
    scale = max(height / h, width / w)
    left, top = (w - width / scale) / 2, (h - height / scale) / 2
    box = (max(left, 0.0), max(top, 0.0), min(w - left, w), min(h - top, h))
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.array(scaled, dtype=np.uint8)


def decode(content: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The bytes of an image file as uint8 (height, width, 3). Training and prediction both go this way.

    Raises PictureError.
    """
    return fitted(read_picture(content, at_least=2 * max(height, width)), height, width)


@contextmanager
def quiet_pictures() -> Iterator[None]:
    """Pillow's warnings (odd EXIF, odd palettes) are not shown inside; enter it around threads, not in them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        yield


def _opened(content: bytes) -> "Image":
    """The header read, nothing decoded. Raises PictureError for too many pixels, and what Pillow raises."""
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if image.width * image.height > MOST_PIXELS:
        raise _too_large()
    return image


def _orientation(image: "Image") -> int:
    """1 to 8 as EXIF has it; 1 where it says nothing or nonsense."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _turned(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[orientation]) if orientation in ways else image


def _as_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode in _SIXTEEN_BITS:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise PictureError("holds whole numbers of more than 16 bits, which are no colours")
        grey = ((values + 128) // 257).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "F":
        raise PictureError("holds decimals, which are no colours")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _bombs() -> type[Exception]:
    from PIL import Image

    return Image.DecompressionBombError


def _too_large() -> PictureError:
    return PictureError(f"has more than {MOST_PIXELS // 1_000_000} million pixels")


def _damaged(content: bytes) -> PictureError:
    if not content:
        return PictureError("is empty")
    known = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"P5", b"P6")
    return PictureError("is cut short or damaged" if content.startswith(known) else "is no image")


def as_input(pixels: NDArray[np.uint8], form: Mapping[str, Any]) -> NDArray[Any]:
    """Pixels (rows, height, width, 3) as a graph takes them that was not made here.

    `form` says how: "dtype"; "scale", "mean" and "std", as each value becomes (value / scale - mean) / std; "layout",
    NCHW or NHWC.
    """
    values: NDArray[Any] = pixels
    if form["dtype"] != "uint8":
        mean, std = np.asarray(form["mean"], dtype=np.float32), np.asarray(form["std"], dtype=np.float32)
        values = ((pixels.astype(np.float32) / np.float32(form["scale"]) - mean) / std).astype(form["dtype"])
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if form["layout"] == "NCHW" else values)
