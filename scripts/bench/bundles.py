"""Bundles of all kinds where nothing but their requirements.txt is installed: does each predict what was measured?

    .venv/bin/python scripts/bench/bundles.py [--only texts ...] [--json FILE]

Six small searches, each over a list of recipes of one kind of data (bundle_kinds.py), and every trial is exported. For
each distinct requirements.txt a virtual environment of its own is made and that file installed. There, in an empty
folder and without autoopt, each bundle's predict.py runs on its sample's raw rows, written as a file of the kind that
it reads; what it says is compared with the scores that were recorded, and what it imports is read from the interpreter.
"""

import argparse
import base64
import csv
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bundle_kinds import KINDS, exported
from common import print_surroundings, print_table, surroundings, write_result

from autoopt.bundle import load_bundle

TRAINING = ("autoopt", "lightgbm", "mlflow", "onnx", "optuna", "pandas", "scipy", "sklearn", "sqlalchemy", "torch")
"""What no bundle may need."""
LARGEST_DIFFERENCE = 1e-5
BAR = 30


@dataclass(frozen=True, kw_only=True)
class Reload:
    """One bundle in its clean environment."""

    data: str
    kind: str
    model: str
    quantize: str
    chosen: str
    requirements: tuple[str, ...]
    rows: int
    difference: float  # largest, of a score or, in a regression, of a value over the largest value
    labels_agree: bool
    imported: tuple[str, ...]  # of TRAINING
    said: str  # what went wrong, '' where nothing did

    @property
    def holds(self) -> bool:
        return not self.said and not self.imported and self.labels_agree and self.difference <= LARGEST_DIFFERENCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(KINDS), help="kinds of data")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    found = surroundings()
    print_surroundings(found)
    with tempfile.TemporaryDirectory(prefix="autoopt-bundles-") as name:
        work = Path(name)
        bundles = {
            folder: kind for kind in options.only or KINDS for folder in exported(kind, work / kind.replace(" ", "-"))
        }
        environments = Environments(work / "environments")
        reloads = [_reloaded(folder, data, environments.python(folder), work) for folder, data in bundles.items()]
        packages = environments.packages()
    _print(reloads, packages)
    held = sum(r.holds for r in reloads)
    print(f"\n{held} of {len(reloads)} bundles predict what was recorded, without any of: {', '.join(TRAINING)}")
    result = {
        "surroundings": found,
        "environments": packages,
        "bundles": [{**asdict(r), "holds": r.holds} for r in reloads],
    }
    write_result(options.json, result)
    return 0 if held == len(reloads) and (options.only or held >= BAR) else 1


class Environments:
    """A virtual environment for each distinct requirements.txt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pythons: dict[str, Path] = {}

    def python(self, bundle: Path) -> Path:
        """The interpreter beside what that bundle asks for."""
        needed = (bundle / "requirements.txt").read_text()
        if needed not in self._pythons:
            place = self._folder / str(len(self._pythons))
            venv.create(place, with_pip=True)
            python = place / "bin" / "python"
            install = [python, "-m", "pip", "install", "--quiet", "-r", bundle / "requirements.txt"]
            subprocess.run(install, check=True)
            self._pythons[needed] = python
        return self._pythons[needed]

    def packages(self) -> dict[str, str]:
        """What came into each, by what was asked for."""
        found = {}
        for needed, python in self._pythons.items():
            listed = subprocess.run(
                [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
            )
            found[" ".join(needed.split())] = " ".join(listed.stdout.split())
        return found


def _reloaded(folder: Path, data: str, python: Path, work: Path) -> Reload:
    """Run its script as a user does, in a folder of its own."""
    bundle = load_bundle(folder)
    sample, role = bundle.sample(), bundle.manifest["chosen"]
    place = Path(tempfile.mkdtemp(dir=work))
    source = _written(sample["columns"], bundle.manifest["modality"], place)
    script, target = str(folder.resolve() / "predict.py"), "predictions.csv"
    ran = subprocess.run(
        [python, "-X", "importtime", script, source, target],
        cwd=place,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ran.stderr.splitlines()
    imports = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    said = "; ".join(line for line in lines if not line.startswith("import time:"))
    difference, agree, rows = float("inf"), False, 0
    if ran.returncode == 0:
        difference, agree, rows = _compared(place / target, np.asarray(sample[role], dtype=float), bundle.classes)
    load_bundle(folder)  # refuses a bundle that its own script has changed
    recipe = next(a["recipe"] for a in bundle.manifest["artifacts"] if a["role"] == role)
    reload = Reload(
        data=data,
        kind=bundle.manifest["kind"],
        model=str(recipe["model"]),
        quantize=str(recipe.get("quantize", "none")),
        chosen=role,
        requirements=tuple((folder / "requirements.txt").read_text().split()),
        rows=rows,
        difference=difference,
        labels_agree=agree,
        imported=tuple(sorted(imports & set(TRAINING))),
        said=said,
    )
    print(f"{folder.name}: {'holds' if reload.holds else f'FAILED {reload}'}", file=sys.stderr, flush=True)
    return reload


def _written(columns: Mapping[str, Sequence[Any]], modality: str, place: Path) -> str:
    """The rows as a file, or a folder of images, of the kind that the script reads."""
    if modality == "images":
        (place / "images").mkdir()
        for row, uri in enumerate(next(iter(columns.values()))):
            (place / "images" / f"{row:03}.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
        return "images"
    if modality == "module":
        np.savez(place / "new.npz", **{name: np.asarray(values) for name, values in columns.items()})
        return "new.npz"
    with (place / "new.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows(["" if v is None else v for v in row] for row in zip(*columns.values(), strict=True))
    return "new.csv"


def _compared(predictions: Path, expected: np.ndarray, classes: Sequence[str]) -> tuple[float, bool, int]:
    """Largest difference of the scores, whether the labels are those of the largest ones, and how many rows."""
    with predictions.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    names = [f"probability_{label}" for label in classes] or ["prediction"]
    found = np.array([[float(line[name]) for name in names] for line in lines]).reshape(-1, len(names))
    if found.shape != expected.shape:
        return float("inf"), False, len(lines)
    scale = 1.0 if classes else float(np.abs(expected).max())
    difference = float(np.abs(found - expected).max()) / scale
    labels = [classes[k] for k in expected.argmax(axis=1)] if classes else []
    agree = all(_same(line["prediction"], label) for line, label in zip(lines, labels, strict=False))
    return difference, agree, len(lines)


def _same(printed: str, label: str) -> bool:
    """As text, or as the number that it stands for."""
    try:
        return printed == label or float(printed) == float(label)
    except ValueError:
        return False


def _print(reloads: Sequence[Reload], packages: Mapping[str, str]) -> None:
    rows = [
        (r.data, r.kind, r.model, r.quantize, r.chosen, r.rows, f"{r.difference:.1g}", "yes" if r.holds else "NO")
        for r in reloads
    ]
    headings = ("data", "kind", "model", "quantize", "chosen", "rows", "largest difference", "holds")
    print_table(headings, rows)
    print_table(("requirements.txt", "what came with it"), list(packages.items()))


if __name__ == "__main__":
    sys.exit(main())
