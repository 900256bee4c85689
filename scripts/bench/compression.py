"""Twins against their float graphs, against eager PyTorch, and against what others make of the same graphs.

    .venv/bin/python scripts/bench/compression.py [--images cifar10_10k.tar.gz] [--text ag_news.csv] \\
        [--table adult.csv:income ...] [--others PYTHON] [--seconds 8] [--json FILE]

Networks are trained as a trial trains them and timed alone, without their preprocessing: one thread, batch 1, all forms
of one network in turns. The twin is what an export would choose: the first rung of the ladder that loses no more than
half a per cent on valid. Quality is that of the test part, by which nothing was chosen. Besides come what the runtime's
own quantizer makes with its defaults, and with --others (the Python of an environment that has them, see
other_quantizers.py) what Olive makes with its defaults and by its own search, and onnxmltools' graphs of the trees.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Spread, in_turns, print_surroundings, print_table, surroundings, write_result
from compression_subjects import (
    CNN,
    MLP,
    TEXT_CNN,
    TRANSFORMER,
    Feed,
    JudgedLab,
    NetworkSubject,
    TreesSubject,
    network,
    trees,
)

from autoopt.app.twin_ladder import TRIMS
from autoopt.runtime import Session
from autoopt.runtime.timing import in_turns as each_in_turn
from autoopt.task import TaskOptions
from autoopt.values import format_bytes

FLOAT, TWIN, EAGER = "float", "twin", "eager PyTorch"
TREE_FORMS: Mapping[str, Mapping[str, Any]] = {
    "portable": {},
    "compact": {"quantize": "compact"},
    **{
        f"trimmed, score_change {trim['quantize.score_change']}": {"quantize": "trimmed", **trim}
        for trim in reversed(TRIMS)
    },
}
OLIVE_POINTS = 12
FEEDS = 64
THREADS = 2
"""Of the trainings; timings are on one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One form of one model. Ratios are to the first form of its table: how many times smaller, faster."""

    subject: str
    form: str
    size_bytes: int
    size_ratio: float
    ms: Spread
    speed_ratio: Spread
    quality: float
    lost: float  # of the first form's quality, in the metric's own unit
    difference: float  # largest of a score

    def cells(self) -> tuple[str, ...]:
        return (
            self.subject,
            self.form,
            format_bytes(self.size_bytes),
            f"{self.size_ratio:.2f}",
            self.ms.text(),
            self.speed_ratio.text(".2f"),
            f"{self.quality:.4f}",
            f"{self.lost:+.4f}",
            f"{self.difference:.1g}",
        )

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "ms": self.ms.to_json(), "speed_ratio": self.speed_ratio.to_json()}


HEADINGS = (
    "model",
    "form",
    "size",
    "times smaller",
    "batch 1, ms",
    "times faster",
    "test",
    "lost",
    "largest difference of a score",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="demo:digit_images")
    parser.add_argument("--text", help="a table with a column `text` or `title` and `label`")
    parser.add_argument("--table", action="append", default=[], metavar="FILE:TARGET")
    parser.add_argument("--others", type=Path, help="Python of an environment with Olive and onnxmltools")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each timing")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = surroundings()
    print_surroundings(found)
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="autoopt-compression-") as name:
        folder = Path(name)
        subjects = list(_networks(options, folder))
        tables["networks"] = [row for s in subjects for row in _network_rows(s, options, folder)]
        tables["float graphs against eager PyTorch"] = [r for s in subjects for r in _eager_rows(s, options.seconds)]
        tables["trees"] = [row for s in _trees(options, folder) for row in _tree_rows(s, options, folder)]
    for title, rows in tables.items():
        print(f"\n{title}", end="")
        print_table(HEADINGS, [row.cells() for row in rows])
    write_result(
        options.json, {"surroundings": found, **{t: [r.to_json() for r in rows] for t, rows in tables.items()}}
    )
    return 0


def _networks(options: argparse.Namespace, folder: Path) -> Sequence[NetworkSubject]:
    lab = JudgedLab.of(options.images, TaskOptions(), folder / "images", threads=THREADS)
    found = [network("residual network", lab, CNN)]
    if options.text:
        lab = JudgedLab.of(
            options.text, TaskOptions(target="label", text=("title", "text")), folder / "text", threads=THREADS
        )
        found += [network("text CNN", lab, TEXT_CNN), network("text transformer", lab, TRANSFORMER)]
    for k, (path, target) in enumerate(_tables(options)):
        lab = JudgedLab.of(path, TaskOptions(target=target), folder / f"mlp{k}", threads=THREADS)
        found.append(network(f"MLP 512 × 3, {Path(path).stem}", lab, MLP))
    return found


def _trees(options: argparse.Namespace, folder: Path) -> Sequence[TreesSubject]:
    return [
        trees(
            f"LightGBM 200 × 31, {Path(path).stem}",
            JudgedLab.of(path, TaskOptions(target=target), folder / f"trees{k}", threads=THREADS),
            TREE_FORMS,
        )
        for k, (path, target) in enumerate(_tables(options))
    ]


def _tables(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [(path, target) for path, _, target in (given.rpartition(":") for given in options.table)]


def _network_rows(subject: NetworkSubject, options: argparse.Namespace, folder: Path) -> list[Row]:
    place = folder / subject.title.replace(" ", "-").replace(",", "")
    place.mkdir()
    (place / "float.onnx").write_bytes(subject.graph)
    graphs = {FLOAT: subject.graph, f"{TWIN}: {subject.twin_form}": subject.twin}
    graphs |= _others(subject, place, options.others)
    calls = {name: Session(graph) for name, graph in graphs.items()}
    sizes = {name: len(graph) for name, graph in graphs.items()}
    return _rows(subject.title, subject.lab, calls, sizes, subject.test, options.seconds)


def _others(subject: NetworkSubject, place: Path, python: Path | None) -> dict[str, bytes]:
    """The same graph as others quantize it, by what made it; what failed is left out, and why is told."""
    classes = str(len(subject.lab.snapshot.facts.classes))
    rows = {f"calibration/{n}": v for n, v in subject.calibration.items()}
    rows |= {f"valid/{n}": v for n, v in subject.valid.items()}
    np.savez(place / "rows.npz", label=subject.lab.snapshot.part("valid").target, **rows)
    wanted = {
        "onnxruntime_static": ("onnxruntime static, defaults", Path(sys.executable)),
        "onnxruntime_dynamic": ("onnxruntime dynamic, defaults", Path(sys.executable)),
    }
    if python is not None:
        wanted["olive"] = ("Olive, defaults", python)
        if classes != "0":  # its accuracy counts labels
            wanted["olive_search"] = ("Olive, its search", python)
    made = {
        title: _made(form, place, of, str(OLIVE_POINTS), classes, told=subject.title)
        for form, (title, of) in wanted.items()
    }
    return {title: graph for title, graph in made.items() if graph}


def _made(form: str, place: Path, python: Path, *more: str, told: str) -> bytes:
    """A graph by others; b"" when it failed."""
    script = Path(__file__).with_name("other_quantizers.py")
    ended = subprocess.run([python, script, form, place, *more], capture_output=True, text=True)
    path = place / f"{form}.onnx"
    if path.is_file():
        return path.read_bytes()
    print(f"{told}, {form}: {(ended.stderr.strip() or '?').splitlines()[-1]}", file=sys.stderr)
    return b""


def _eager_rows(subject: NetworkSubject, seconds: float) -> list[Row]:
    if subject.eager is None:
        return []
    import torch

    torch.set_num_threads(1)

    class Eager:
        def run(self, feed: Feed) -> np.ndarray[Any, Any]:
            with torch.no_grad():
                found: np.ndarray[Any, Any] = subject.eager(*(torch.from_numpy(v) for v in feed.values())).numpy()
            return found

    size = sum(p.numel() * 4 for p in subject.eager.parameters())
    calls = {EAGER: Eager(), "float graph": Session(subject.graph)}
    sizes = {EAGER: size, "float graph": len(subject.graph)}
    return _rows(subject.title, subject.lab, calls, sizes, subject.test, seconds)


class _LastOutput:
    """A converted graph: labels come first, where there are any, and scores last."""

    def __init__(self, graph: bytes) -> None:
        self._session = Session(graph)

    def run(self, feed: Feed) -> np.ndarray[Any, Any]:
        return list(self._session.run_all(feed).values())[-1]


def _tree_rows(subject: TreesSubject, options: argparse.Namespace, folder: Path) -> list[Row]:
    calls: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    if options.others:
        place = folder / subject.title.replace(" ", "-")
        place.mkdir()
        (place / "model.txt").write_text(subject.text)
        graph = _made("onnxmltools", place, options.others, told=subject.title)
        calls["onnxmltools"], sizes["onnxmltools"] = _LastOutput(graph), len(graph)
    for name, content in subject.forms.items():
        calls[name], sizes[name] = Session(content), len(content)
    return _rows(subject.title, subject.lab, calls, sizes, subject.test, options.seconds)


def _rows(
    title: str, lab: JudgedLab, calls: Mapping[str, Any], sizes: Mapping[str, int], test: Feed, seconds: float
) -> list[Row]:
    """All forms of one model in turns; the first is what the others are compared with."""
    feeds = list(_batches(test, 1))[:FEEDS]
    timed = in_turns({name: each_in_turn(call.run, feeds) for name, call in calls.items()}, seconds=seconds)
    scores = {name: np.concatenate([call.run(b) for b in _batches(test, 256)]) for name, call in calls.items()}
    qualities = {name: lab.quality(found) for name, found in scores.items()}
    sign = 1 if lab.snapshot.facts.metric_direction == "maximize" else -1
    first = next(iter(calls))
    print(f"{title}: done", file=sys.stderr)
    return [
        Row(
            subject=title,
            form=name,
            size_bytes=sizes[name],
            size_ratio=sizes[first] / sizes[name],
            ms=timed.ms(name),
            speed_ratio=timed.ratio(first, name),
            quality=qualities[name],
            lost=sign * (qualities[first] - qualities[name]),
            difference=float(np.abs(scores[name].astype(np.float64) - scores[first]).max()),
        )
        for name in calls
    ]


def _batches(rows: Feed, batch: int) -> Sequence[dict[str, Any]]:
    count = len(next(iter(rows.values())))
    starts = range(0, count, batch)
    return [{name: np.ascontiguousarray(v[at : at + batch]) for name, v in rows.items()} for at in starts]


if __name__ == "__main__":
    sys.exit(main())
