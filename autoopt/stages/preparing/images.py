"""Images: scaled to what the network sees, by the same graph that is deployed."""

from pathlib import Path
from typing import final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.runtime.session import Session
from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.images.resolution import FULL, Resolution, emit_resolution, scaled_size
from autoopt.strategies.model import FEATURES
from autoopt.strategies.prepared import Pixels
from autoopt.task.facts import TensorFacts

GRAPH = "preprocess.onnx"
_BATCH_BYTES = 16 << 20


@final
class ImagePreparer(Preparer):
    """Pixels. The graph makes the training data too, so that there is nothing it could differ from."""

    def prepare(self, job: PrepareJob, folder: Path) -> None:
        """Write the graph, and the scaled pixels of train and valid; at full size the snapshot's own are used."""
        image, resolution = job.facts.tensors[0], Resolution.from_recipe(job.recipe).resolution
        graph = resolution_graph(image, resolution)
        onnx.save(graph, folder / GRAPH)
        if resolution == FULL:
            return
        session = Session(graph.SerializeToString())
        size = scaled_size(resolution, *image.shape[:2])
        for name, part in (("train", job.train), ("valid", job.valid)):
            _write_scaled(session, image.name, part.tensors[0], size, folder / f"{name}_pixels.npy")

    def graph(self, folder: Path) -> onnx.ModelProto:
        return onnx.load(folder / GRAPH)

    def load(self, job: LoadJob) -> Pixels:
        """Memory-mapped; what is written into them stays in this process."""
        if Resolution.from_recipe(job.recipe).resolution == FULL:
            return Pixels(pixels=job.part.tensors[0])
        scaled = np.load(job.folder / f"{job.part_name}_pixels.npy", mmap_mode="c", allow_pickle=False)
        return Pixels(pixels=np.asarray(scaled))


def resolution_graph(image: TensorFacts, resolution: str) -> onnx.ModelProto:
    """From pixels as they are stored, uint8 (rows, height, width, 3), to FEATURES, uint8 (rows, h, w, 3)."""
    height, width, channels = image.shape
    graph = GraphBuilder("prepare_images")
    pixels = graph.input(image.name, np.uint8, ("rows", height, width, channels))
    seen = emit_resolution(graph, pixels, resolution, height, width)
    graph.output(FEATURES, seen, np.uint8, ("rows", *scaled_size(resolution, height, width), channels))
    return graph.build()


def _write_scaled(session: Session, name: str, pixels: NDArray[np.uint8], size: tuple[int, int], path: Path) -> None:
    """Batch by batch into a mapped file: the whole is never in memory."""
    scaled = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(pixels), *size, pixels.shape[3]))
    rows = max(1, _BATCH_BYTES // max(1, pixels[:1].nbytes))
    for start in range(0, len(pixels), rows):
        batch = np.ascontiguousarray(pixels[start : start + rows])
        scaled[start : start + rows] = session.run_all({name: batch})[FEATURES]
    scaled.flush()
