"""Images as the rows of a brought graph: decoded to the size that its input has, folders as labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import user_path
from autoopt.task.facts import TensorFacts
from autoopt.task.graph.reading import BroughtGraph, GraphInput
from autoopt.task.images.archive import find_in_archive
from autoopt.task.images.classes import labelled_by_folders
from autoopt.task.images.decoding import decode_all, stored_size
from autoopt.task.images.demo import find_digits
from autoopt.task.images.folder import find_in_folder
from autoopt.task.images.found import ImageFile
from autoopt.task.modality import ARCHIVES, IMAGE_DEMO
from autoopt.task.options import TaskOptions
from autoopt.task.spreading import spread_rows
from autoopt.task.wording import SHOWN, count, quoted

MOST_IMAGES: Final = 20_000
"""More than that tell nothing new about a graph's quality; they are taken evenly from all."""
NCHW, NHWC = "NCHW", "NHWC"
COLOURS: Final = 3
IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALIZATIONS: Final = (
    "--normalize is imagenet, none (0 to 255 as they are), or MEAN;STD like '0.5,0.5,0.5;0.2,0.2,0.2'"
)


def is_images(source: str) -> bool:
    """Whether a source is a folder or an archive."""
    return source.lower().endswith(ARCHIVES) or user_path(source).is_dir()


def image_rows(
    graph: BroughtGraph, source: str, options: TaskOptions
) -> tuple[tuple[TensorFacts, ...], NDArray[np.uint8], str, NDArray[Any], tuple[str, ...]]:
    """(input, pixels (rows, height, width, 3), name of the labels, labels (rows,), warnings). Raises DataError."""
    wanted, layout = _image_input(graph)
    form = {"layout": layout, "dtype": wanted.dtype, **_normalization(options.normalize, wanted.dtype)}
    if options.target is not None:
        what = f"--target {quoted(options.target)} names a column, and a folder of images has none."
        raise DataError(what, "Leave it out: folders are the classes.")
    images = labelled_images(source)
    height, width = _size(wanted, layout, images.files)
    pixels, images = decoded_images(source, images, height, width)
    facts = TensorFacts(name=wanted.name, dtype="uint8", shape=(height, width, COLOURS), pixels=form)
    return (facts,), pixels, images.label_name, images.labels, images.warnings


@dataclass(frozen=True, kw_only=True)
class GivenImages:
    """Images in the order of their source, with their labels where there are any."""

    files: tuple[ImageFile, ...]
    label_name: str  # '' where there are no labels
    labels: NDArray[Any]  # (images,), or (0,)
    warnings: tuple[str, ...] = ()

    def take(self, chosen: NDArray[np.int64], *warnings: str) -> "GivenImages":
        """Some of them, and what is to be told of that."""
        labels = self.labels[chosen] if self.label_name else self.labels
        files = tuple(self.files[int(k)] for k in chosen)
        return replace(self, files=files, labels=labels, warnings=(*self.warnings, *warnings))


def labelled_images(source: str) -> GivenImages:
    """The images of a folder, an archive or the demo; folders of classes are their labels. Raises DataError."""
    path = user_path(source)
    if source != IMAGE_DEMO and not path.exists():
        raise DataError(f"{source} does not exist.", "Check the path.")
    found = find_digits() if source == IMAGE_DEMO else (find_in_folder if path.is_dir() else find_in_archive)(path)
    if not found.files:
        raise DataError(f"{found.name} holds no image.", "Give a folder of images, or an archive of one.")
    if len({f.folders for f in found.files}) < 2:
        return GivenImages(files=found.files, label_name="", labels=np.zeros(0), warnings=found.warnings)
    labelled = labelled_by_folders(found, found.name)
    labels = np.array(labelled.target.classes, dtype=str)[labelled.target.values]
    name = labelled.target_name
    return GivenImages(files=labelled.files, label_name=name, labels=labels, warnings=labelled.warnings)


def decoded_images(source: str, images: GivenImages, height: int, width: int) -> tuple[NDArray[np.uint8], GivenImages]:
    """Pixels (rows, height, width, 3) of those that can be read, of at most MOST_IMAGES, and which these are.

    Raises DataError where there is none.
    """
    if len(images.files) > MOST_IMAGES:
        told = f"Of {len(images.files):,} images {MOST_IMAGES:,} are used, taken evenly."
        images = images.take(spread_rows(len(images.files), MOST_IMAGES), told)
    decoded = decode_all(images.files, height, width)
    if not decoded.damaged:
        return decoded.pixels, images
    whole = np.array([k for k in range(len(images.files)) if k not in decoded.damaged], dtype=np.int64)
    if not len(whole):
        raise DataError(f"{source} has no image that can be read.", "Give a folder of images.")
    bad = "; ".join(f"{images.files[k].name} {why}" for k, why in list(decoded.damaged.items())[:SHOWN])
    told = f"{len(decoded.damaged):,} of {count(len(images.files), 'image')} cannot be read: {bad}."
    return decoded.pixels[whole], images.take(whole, told)


def _image_input(graph: BroughtGraph) -> tuple[GraphInput, str]:
    """The one input, and where its colours lie."""
    wanted = graph.inputs[0]
    sizes = wanted.shape or ()
    if len(graph.inputs) == 1 and len(sizes) == 3 and wanted.dtype in ("float32", "float16", "float64", "uint8"):
        if sizes[0] == COLOURS:
            return wanted, NCHW
        if sizes[2] == COLOURS:
            return wanted, NHWC
    what = f"Images cannot feed {'; '.join(map(str, graph.inputs))}: one input of 3 colours is needed, "
    what += "(rows, 3, height, width) or (rows, height, width, 3)."
    raise DataError(what, "Give an .npz file with an array for each input.")


def _normalization(text: str | None, dtype: str) -> Mapping[str, Any]:
    """What is done to each value: (value / scale - mean) / std. Raises DataError for what --normalize cannot be."""
    plain = ((0.0,) * COLOURS, (1.0,) * COLOURS)
    if dtype == "uint8" and text not in (None, "none"):
        raise DataError("The graph takes pixels as uint8: there is nothing to normalize.", "Leave --normalize out.")
    if text == "none" or dtype == "uint8":
        return {"scale": 1.0, "mean": plain[0], "std": plain[1]}
    mean, std = plain if text is None else IMAGENET if text == "imagenet" else _mean_std(text)
    return {"scale": 255.0, "mean": mean, "std": std}


def _mean_std(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    halves = text.split(";")
    try:
        mean, std = (tuple(float(v) for v in half.split(",")) for half in halves)
    except ValueError:
        mean, std = (), ()
    mean, std = (half * COLOURS if len(half) == 1 else half for half in (mean, std))
    if len(mean) != COLOURS or len(std) != COLOURS or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise DataError(f"--normalize {quoted(text)} cannot be read.", f"{NORMALIZATIONS}; of values 0 to 1.")
    return mean, std


def _size(wanted: GraphInput, layout: str, files: tuple[ImageFile, ...]) -> tuple[int, int]:
    sizes = wanted.shape or ()
    height, width = sizes[1:] if layout == NCHW else sizes[:2]
    if height is None or width is None:
        usual = stored_size(files, None)
        return height or usual[0], width or usual[1]
    return height, width
