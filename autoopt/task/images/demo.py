"""scikit-learn's handwritten digits as images, under a name: nothing is downloaded."""

import numpy as np

from autoopt.task.images.found import Found, ImageFile
from autoopt.task.modality import IMAGE_DEMO

_SCALE = 2  # 8x8 pixels become 16x16


def find_digits() -> Found:
    """1,797 images of 16x16 pixels, as if they lay in a folder for each digit."""
    from sklearn import datasets  # slow to import, and only demos need it

    loaded = datasets.load_digits()
    grey = np.rint(loaded.images * (255 / 16)).astype(np.uint8)
    large = grey.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    head = b"P5 %d %d 255\n" % large.shape[2:0:-1]
    files = tuple(
        ImageFile(name=f"{label}/{k:04d}.pgm", folders=(str(label),), content=head + image.tobytes())
        for k, (label, image) in enumerate(zip(loaded.target, large, strict=True))
    )
    return Found(name=IMAGE_DEMO, files=files, folders=frozenset(f.folders for f in files))
