"""Image files of every kind become RGB pixels; what is no image is refused with its reason."""

import contextlib
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support_images import encoded, noise

from autoopt.files.pictures import PictureError, decode, fitted, picture_size, quiet_pictures, read_picture

PICTURE = noise(20, 30)
ORIENTATION = 0x0112
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_exact_formats_give_the_pixels_back(kind: str) -> None:
    content = encoded(PICTURE, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(read_picture(content), PICTURE)
    assert picture_size(content) == (20, 30)


def test_jpeg_gives_nearly_the_pixels_back() -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 30).astype(np.uint8)[None, :, None], (20, 30, 3))
    found = read_picture(encoded(np.ascontiguousarray(smooth), "JPEG", quality=95))
    assert np.abs(found.astype(int) - smooth).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_the_orientation_is_honoured(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encoded(PICTURE, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = TURNS[orientation](PICTURE)
    np.testing.assert_array_equal(read_picture(content), expected)
    assert picture_size(content) == expected.shape[:2]


def test_grey_palette_and_truth_values_become_rgb() -> None:
    grey = PICTURE[:, :, 0]
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_picture(encoded(grey)), expected)
    palette = Image.fromarray(PICTURE).quantize(8)
    np.testing.assert_array_equal(read_picture(encoded(palette)), np.asarray(palette.convert("RGB")))
    black_white = Image.fromarray(grey > 127)
    assert set(np.unique(read_picture(encoded(black_white)))) == {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    wide = PICTURE[:, :, 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(read_picture(encoded(wide, kind))[:, :, 1], PICTURE[:, :, 0])


def test_alpha_lies_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert (read_picture(encoded(clear)) == 255).all()
    assert abs(int(read_picture(encoded(half))[0, 0, 0]) - 127) <= 1
    assert (read_picture(encoded(Image.new("LA", (4, 4), (0, 0)))) == 255).all()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([1, 2, 3] * 256)
    assert (read_picture(encoded(palette, transparency=0)) == 255).all()


def test_cmyk_becomes_rgb() -> None:
    content = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    red = read_picture(content)[4, 4].astype(int)
    assert red[0] > 180
    assert red[1:].max() < 80


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_picture(content)[0, 0].tolist() == [255, 0, 0]


def test_a_large_jpeg_is_decoded_smaller_but_not_too_small() -> None:
    content = encoded(noise(400, 600), "JPEG")
    assert read_picture(content).shape == (400, 600, 3)
    assert read_picture(content, at_least=64).shape == (100, 150, 3)
    assert decode(content, 32, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello, this is a text", "is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is no image"),
        (encoded(noise(60, 60), "JPEG")[:2000], "cut short"),
        (encoded(noise(60, 60))[:2000], "cut short"),
        (encoded(noise(60, 60), "GIF")[:1500], "cut short"),
        (encoded(noise(60, 60), "TIFF")[:2000], "cut short"),
        (encoded(noise(60, 60), "WEBP")[:500], "cut short"),
        (encoded(noise()[:, :, 0].astype(np.float32), "TIFF"), "decimals"),
        (encoded(noise()[:, :, 0].astype(np.int32) - 500, "TIFF"), "16 bits"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        read_picture(content)


@pytest.mark.parametrize("side", [9500, 20_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    content = encoded(Image.new("1", (side, side)))
    assert len(content) < 100_000
    with quiet_pictures(), pytest.raises(PictureError, match="million pixels"):
        read_picture(content)
    with quiet_pictures(), pytest.raises(PictureError, match="million pixels"):
        picture_size(content)


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.integers(0, 400))
def test_damaged_bytes_give_a_picture_or_a_picture_error(junk: bytes, kind: str, at: int) -> None:
    sound = encoded(noise(6, 6), kind)
    with quiet_pictures(), contextlib.suppress(PictureError):
        found = read_picture(sound[:at] + junk + sound[at + len(junk) :])
        assert found.dtype == np.uint8
        assert found.shape[2] == 3


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_fitted_covers_and_keeps_a_plain_colour(h: int, w: int, height: int, width: int) -> None:
    plain = np.full((h, w, 3), (10, 200, 90), dtype=np.uint8)
    found = fitted(plain, height, width)
    assert found.shape == (height, width, 3)
    assert (found == (10, 200, 90)).all()


def test_fitted_takes_the_centre() -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 255
    assert (fitted(wide, 10, 10) == 255).all()
    assert (fitted(wide.transpose(1, 0, 2).copy(), 10, 10) == 255).all()
    assert fitted(wide, 10, 30) is wide


def test_pillows_warnings_stay_inside() -> None:
    """Around threads: every one of them is quiet, and afterwards warnings are as they were."""
    content = encoded(Image.new("1", (9500, 9500)))
    told: list[str] = []

    def read() -> None:
        try:
            picture_size(content)
        except PictureError as error:
            told.append(str(error))

    before = list(warnings.filters)
    with quiet_pictures():
        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(told) == 2
    assert list(warnings.filters) == before
