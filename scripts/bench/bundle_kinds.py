"""Small data of every kind with lists of recipes, and the bundles that come of them (bundles.py)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, load_wine

import autoopt
from autoopt.files import resource_folder

Recipes = Sequence[Mapping[str, Any]]
BATCH = {"batch_size": 64, "optimizer": "adamw", "optimizer.learning_rate": 0.003, "schedule": "one_cycle"}
TREES = {"impute": "native"}
MLP = {"model": "mlp", "mlp.width": 64, "mlp.depth": 2, "mlp.epochs": 10, **BATCH}
RESIDUAL = {"model": "residual_net", "residual_net.width": 8, "residual_net.epochs": 4, "augment": "none", **BATCH}

TABLES: Final[Recipes] = (
    {"model": "lightgbm", "lightgbm.n_trees": 50, **TREES},
    {"model": "lightgbm", "lightgbm.n_trees": 50, **TREES, "quantize": "compact"},
    {"model": "random_forest", "random_forest.n_trees": 20, "encode": "target", **TREES, "quantize": "compact"},
    {"model": "extra_trees", "extra_trees.n_trees": 20, "impute": "median"},
    {"model": "decision_tree", **TREES, "quantize": "compact"},
    {"model": "linear", "encode": "onehot", "reduce": "pca"},
    {"model": "linear_svm", "encode": "target", "impute": "mean", "impute.indicator": True},
    {**MLP, "encode": "embed"},
    {**MLP, "encode": "onehot", "mlp.depth": 3, "quantize": "static_int8"},
)
TEXTS: Final[Recipes] = (
    {"model": "ngram_linear", "ngrams": "words_1_2", "ngrams.min_count": 2},
    {"model": "ngram_linear", "ngrams": "characters_2_4", "ngrams.most": 2000, "quantize": "weights_int8"},
    {"model": "ngram_bayes", "ngrams": "words_1", "ngrams.min_count": 1},
    {"model": "embedding_bag", "embedding_bag.epochs": 4, "embedding_bag.width": 32, **BATCH},
    {"model": "text_cnn", "text_cnn.epochs": 3, "text_cnn.width": 32, **BATCH, "quantize": "static_int8"},
    {"model": "text_transformer", "text_transformer.epochs": 3, "text_transformer.width": 32, **BATCH},
)
IMAGES: Final[Recipes] = (
    RESIDUAL,
    {**RESIDUAL, "quantize": "static_int8"},
    {"model": "depthwise_net", "depthwise_net.width": 16, "depthwise_net.epochs": 10, "augment": "none", **BATCH},
    {"model": "patch_net", "patch_net.mixer": "attention", "patch_net.width": 64, "patch_net.depth": 2}
    | {"patch_net.epochs": 10, "augment": "none", **BATCH},
)
MODULES: Final[Recipes] = (
    {"model": "module", "module.epochs": 5, **BATCH},
    {"model": "module", "module.epochs": 5, **BATCH, "quantize": "static_int8"},
)
MODULE = """\
import torch
from torch import nn
from torch.utils.data import Dataset

import autoopt

NAMES = ("train", "valid", "test")


class Rows(Dataset):
    def __init__(self, seed):
        draw = torch.Generator().manual_seed(seed)
        self.signal = torch.randn(150, 3, 12, generator=draw)
        self.place = torch.randint(0, 5, (150,), generator=draw)
        self.label = (self.signal.mean((1, 2)) + 0.1 * self.place > 0.2).long() + (self.place == 4).long()

    def __len__(self):
        return len(self.label)

    def __getitem__(self, row):
        return (self.signal[row], self.place[row]), self.label[row]


class Both(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.places = nn.Embedding(5, 8)
        self.convolution = nn.Conv1d(3, width, 3, padding=1)
        self.out = nn.Linear(width + 8, 3)

    def forward(self, signal, place):
        hidden = torch.relu(self.convolution(signal)).mean(-1)
        return self.out(torch.cat([hidden, self.places(place)], 1))


def task():
    return autoopt.ModuleTask(build=Both, **{n: Rows(k) for k, n in enumerate(NAMES)}, metric="accuracy")
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Data, and what is made of them."""

    space: str
    recipes: Recipes
    data: Callable[[Path], "Path | str | pd.DataFrame"]
    options: Mapping[str, Any]
    ensemble: bool = False  # also one of the first, the sixth and the eighth recipe


def awkward(_: Path) -> pd.DataFrame:
    """Two classes; names and categories as no one would choose them, gaps everywhere, truth values, a constant."""
    draw = np.random.default_rng(7)
    rows = 300
    age, income = draw.normal(40, 12, rows), draw.lognormal(3, 1, rows)
    city = draw.choice(["Łódź", "São Paulo", "北京", "a,b", 'say "hi"', "NA", "two\nlines", "🙂"], rows)
    member = draw.random(rows) < 0.5
    label = np.where(
        age / 40 + np.log(income) / 3 + (city == "北京") + member + draw.normal(0, 0.3, rows) > 2.6, "ja", "nein"
    )
    names = {"Größe (cm)": age, "scores": income, "stadt, ort": city, '"zitiert"': member, "列 🙂": age * income}
    frame = pd.DataFrame(names).assign(visits=draw.integers(0, 9, rows), label=label)
    frame.loc[draw.random(rows) < 0.1, "Größe (cm)"] = np.nan
    frame.loc[draw.random(rows) < 0.1, "stadt, ort"] = None
    return frame


def wine(_: Path) -> pd.DataFrame:
    """Three classes that are numbers, with gaps."""
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    frame.loc[np.random.default_rng(1).random(len(frame)) < 0.1, "ash"] = np.nan
    return frame.assign(target=frame["target"] * 2 + 1)


def diabetes(_: Path) -> pd.DataFrame:
    """Values to be predicted."""
    frame: pd.DataFrame = load_diabetes(as_frame=True).frame
    return frame


def texts(folder: Path) -> Path:
    """Three topics, title and body, with markup, letters of other scripts, gaps and line ends, as a file."""
    words = (
        "goal match coach <b>league</b> Müller",
        "market shares profit € bank &amp;",
        "court vote treaty 議会 senate",
    )
    draw, rows = np.random.default_rng(3), 300
    topic = np.arange(rows) % 3
    body = [" ".join([*draw.choice(words[t].split(), 6), *draw.choice(["the", "of", "a", "and\n"], 4)]) for t in topic]
    title = [" ".join(draw.choice(words[t].split(), 2)).title() if draw.random() < 0.9 else None for t in topic]
    frame = pd.DataFrame({"title": title, "body": body, "topic": np.array(["sport", "börse", "staat"])[topic]})
    frame.to_csv(folder / "texts.csv", index=False)
    return folder / "texts.csv"


def pictures(folder: Path) -> Path:
    """Handwritten digits in a colour, a folder for each of three classes."""
    digits = load_digits(n_class=3)
    for row, (picture, label) in enumerate(zip(digits.images[:240], digits.target, strict=False)):
        place = folder / "digits" / f"digit {label}"
        place.mkdir(parents=True, exist_ok=True)
        grey = (picture * 15.9).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        Image.fromarray(np.stack([grey, grey // 2, 255 - grey], axis=2)).save(place / f"{row}.png")
    return folder / "digits"


def module(folder: Path) -> str:
    """A network of one's own with two inputs."""
    (folder / "task.py").write_text(MODULE)
    return f"{folder / 'task.py'}:task"


KINDS: Final[Mapping[str, Kind]] = {
    "awkward table": Kind(space="tabular", recipes=TABLES, data=awkward, options={"target": "label"}, ensemble=True),
    "wine": Kind(space="tabular", recipes=TABLES, data=wine, options={"target": "target"}),
    "diabetes": Kind(space="tabular", recipes=TABLES, data=diabetes, options={"target": "target"}),
    "texts": Kind(space="text", recipes=TEXTS, data=texts, options={"target": "topic", "text": ("title", "body")}),
    "images": Kind(space="images", recipes=IMAGES, data=pictures, options={}),
    "module": Kind(space="module", recipes=MODULES, data=module, options={}),
}


def exported(name: str, folder: Path) -> list[Path]:
    """Search that kind's recipes, and export every trial; the bundles' folders."""
    kind = KINDS[name]
    folder.mkdir(parents=True)
    space = yaml.safe_load((resource_folder("search_spaces") / f"{kind.space}.yaml").read_text())
    (folder / "space.yaml").write_text(
        yaml.safe_dump({**space, "portfolio": list(map(dict, kind.recipes))}, sort_keys=False)
    )
    data = kind.data(folder)
    common: dict[str, Any] = {**kind.options, "slots": 1, "inline": True, "home": folder / "home"}
    study = autoopt.search(
        data,
        trials=len(kind.recipes),
        space=str(folder / "space.yaml"),
        pins=("ensemble=none",),
        study="single",
        output=str(folder / "best"),
        **common,
    )
    trials = [trial for trial in study.trials if trial.artifact_key]
    bundles = [study.export(folder / f"{name} {trial.number}", pick=str(trial.number)) for trial in trials]
    if kind.ensemble:
        fields = {"model": "ensemble", "quantize": "none"}
        for place, trial in enumerate((trials[0], trials[5], trials[7]), start=1):
            member = {**trial.recipe, "trial": trial.number, "weight": place}
            fields |= {f"ensemble.{place}.{field}": value for field, value in member.items()}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(fields))
        together = autoopt.search(
            data,
            recipe=str(folder / "recipe.yaml"),
            study="together",
            output=str(folder / f"{name} ensemble"),
            **common,
        )
        bundles.append(Path(together.bundle or ""))
    return bundles
