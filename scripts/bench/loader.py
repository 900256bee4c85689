"""Epochs over a folder of images: autoopt's sources against a plain DataLoader that decodes the files on the fly.

    .venv/bin/python scripts/bench/loader.py [FOLDER or .tar.gz] [--rounds 5] [--json FILE]

An epoch is every image once, in random order, as float tensors (rows, 3, height, width) in batches of 256: reading
alone, and with the training steps of a small network. The plain loader has two workers that live for all epochs; each
opens, converts and resizes the files, as articles do it. autoopt decodes every file once; what that takes is its first
epoch's price. Epochs of all are taken in turns. Without a folder, JPEG files of 96 pixels are made. Bar: reading as the
probe would choose it (storage=memory) takes at most half as long as the plain loader from the second epoch on.
"""

import argparse
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Spread, print_surroundings, print_table, surroundings, write_result
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from autoopt.files import Store
from autoopt.space import Recipe
from autoopt.strategies.learning.batch_size import BatchSize
from autoopt.strategies.learning.held import held_source
from autoopt.strategies.learning.source import Source
from autoopt.strategies.model import TrainingContext
from autoopt.task.images.decoding import decode_all, stored_size
from autoopt.task.images.folder import find_in_folder
from autoopt.values import Slot

BATCH = 256
BAR = 2.0
PLAIN = "plain DataLoader, 2 workers"
BEST = "storage=memory"
OURS = {
    BEST: {"storage": "memory"},
    "storage=memmap": {"storage": "memmap"},
    "storage=arrow": {"storage": "arrow"},
    "storage=hdf5": {"storage": "hdf5"},
    "storage=encoded": {"storage": "encoded"},
    "storage=encoded, loader.workers=2": {"storage": "encoded", "loader.workers": 2},
}
Epoch = Callable[[], Iterator[tuple[Tensor, Tensor]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each, the first not counted")
    parser.add_argument("--threads", type=int, default=2, help="of the training")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = surroundings()
    print_surroundings(found)
    with tempfile.TemporaryDirectory(prefix="autoopt-loader-") as folder:
        images = _folder(options.images, Path(folder))
        task = _prepared(images)
        print(f"\n{len(task.pixels)} images of {task.pixels.shape[1]}x{task.pixels.shape[2]}")
        print(f"decoded once, on all cores, in {task.seconds:.2f} s")
        store = Store(Path(folder) / "store")
        results, ratios = {}, {}
        for title, step in (("reading alone", _look), ("with training steps", _step_of())):
            results[title] = _measured(_epochs(images, task, store), options.rounds, step)
            ratios[title] = _print(title, results[title], task.seconds)
    held = ratios["reading alone"][BEST].median >= BAR
    print(f"\nfrom the second epoch on at least {BAR:g} times as fast, reading alone: {'yes' if held else 'NO'}")
    write_result(options.json, {"surroundings": found, "bar_held": held, **_json(task, results, ratios)})
    return 0 if held else 1


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A folder as autoopt keeps it."""

    pixels: NDArray[np.uint8]
    target: NDArray[np.int64]
    seconds: float


def _folder(given: Path | None, folder: Path) -> Path:
    if given is None:
        return _made(folder / "made")
    if given.is_dir():
        return given
    with tarfile.open(given) as archive:
        archive.extractall(folder / "images", filter="data")
    return folder / "images"


def _made(folder: Path, images: int = 2000, side: int = 96) -> Path:
    """Four classes of smooth noise."""
    random = np.random.default_rng(0)
    for index in range(images):
        coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        path = folder / f"class_{index % 4}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR).save(path, quality=90)
    return folder


def _prepared(images: Path) -> Decoded:
    began = time.perf_counter()
    files = find_in_folder(images).files
    height, width = stored_size(files, None)
    decoded = decode_all(files, height, width)
    seconds = time.perf_counter() - began
    _, target = np.unique([file.folders[-1] for file in files], return_inverse=True)
    return Decoded(pixels=decoded.pixels, target=target.astype(np.int64), seconds=seconds)


class Files(Dataset[tuple[Tensor, int]]):
    """As a plain script has it: each item opens its file."""

    def __init__(self, folder: Path, side: tuple[int, int]) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = sorted({path.parent.name for path in self.paths})
        self.target = [names.index(path.parent.name) for path in self.paths]
        self.side = side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        if image.size != self.side[::-1]:
            image = image.resize(self.side[::-1], Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255, self.target[index]


def _epochs(images: Path, task: Decoded, store: Store) -> dict[str, Epoch]:
    files = Files(images, task.pixels.shape[1:3])
    loader = DataLoader(files, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    ours = {name: _ours(task, recipe, store) for name, recipe in OURS.items()}
    return {PLAIN: lambda: iter(loader), **ours}


def _ours(task: Decoded, recipe: dict[str, Any], store: Store) -> Epoch:
    context = TrainingContext(
        recipe=Recipe(recipe), slot=Slot(index=0), seed=0, report=lambda s, v: None, store=store, prepared_key="0" * 64
    )
    inputs, target = (torch.from_numpy(task.pixels),), torch.from_numpy(task.target)
    source = held_source(inputs, target, context, torch.device("cpu"))
    return lambda: _batches(source)


def _batches(source: Source) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in source.batches(BatchSize(rows=BATCH).batches(torch.randperm(len(source)))):
        yield batch.inputs[0].permute(0, 3, 1, 2).float() / 255, batch.target


def _look(inputs: Tensor, target: Tensor) -> None:
    """Nothing but having them."""


def _step_of() -> Callable[[Tensor, Tensor], None]:
    layers = (nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU())
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(1000))
    network(torch.zeros(2, 3, 32, 32))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(inputs: Tensor, target: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(inputs), target).backward()
        optimizer.step()

    return step


def _measured(
    epochs: dict[str, Epoch], rounds: int, step: Callable[[Tensor, Tensor], None]
) -> dict[str, Sequence[float]]:
    """Seconds of each epoch; the first of each starts workers and fills caches."""
    found: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds + 1):
        for name, epoch in epochs.items():
            began = time.perf_counter()
            for inputs, target in epoch():
                step(inputs, target)
            found[name].append(time.perf_counter() - began)
    return {name: times for name, times in found.items()}


def _print(title: str, times: dict[str, Sequence[float]], decoding_s: float) -> dict[str, Spread]:
    ratios = {
        name: Spread.of([plain / own for plain, own in zip(times[PLAIN][1:], own_times[1:], strict=True)])
        for name, own_times in times.items()
    }
    rows = []
    for name, own_times in times.items():
        first = own_times[0] + (0.0 if name == PLAIN else decoding_s)
        rows.append([name, f"{first:.2f}", Spread.of(own_times[1:]).text(), ratios[name].text()])
    print_table((title, "first epoch s, decoding included", "later epochs s", "times as fast as plain"), rows)
    return ratios


def _json(
    task: Decoded, results: dict[str, dict[str, Sequence[float]]], ratios: dict[str, dict[str, Spread]]
) -> dict[str, Any]:
    return {
        "images": list(task.pixels.shape),
        "decoding_s": task.seconds,
        "epochs": {
            title: {
                name: {"seconds": list(seconds), "times_as_fast": ratios[title][name].to_json()}
                for name, seconds in times.items()
            }
            for title, times in results.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
