"""Word vectors and pieces of words, from the file to a bundle that predicts without either library or file."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support_cli import end_soon, run_here
from support_stages import Place
from support_text import text_frame
from test_text_task import TEXT, options

from autoopt.bundle import check_bundle, load_bundle
from autoopt.space import Recipe
from autoopt.stages.keys import stage_keys
from autoopt.strategies import catalogue_for
from autoopt.task import Snapshot, prepare_task

BAG = {"model": "embedding_bag", "embedding_bag.epochs": 3, "embedding_bag.width": 16, "optimizer.learning_rate": 0.01}
FORMS = {"frozen": {"pretrained": "frozen"}, "tuned": {"pretrained": "tuned"}, "subwords": {"tokens": "subwords"}}


def vectors(folder: Path, sense: float = 1.0) -> Path:
    """The topics of `text_frame` apart from each other, and its fillers between them."""
    topics = {"sports": "goal match coach league striker referee", "business": "market shares profit bank merger"}
    signs = {
        word: sense * (1 if topic == "sports" else -1) for topic, words in topics.items() for word in words.split()
    }
    path = folder / "glove.txt"
    path.write_text("".join(f"{word} {sign} 0.1 {0.2 * sign}\n" for word, sign in {**signs, "the": 0.0}.items()))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("texts")
    frame = text_frame(300)
    frame.loc[::9, "text"] = None
    prepare_task(frame, options(embeddings=vectors(folder))).save(folder / "snapshot")
    (folder / "glove.txt").unlink()
    return Place(snapshot=str(folder / "snapshot"), store=str(folder / "store"))


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_is_prepared_trained_deployed_and_verified_with_its_twin(form: str, place: Place) -> None:
    recipe = {**BAG, **FORMS[form]}
    found = place.evaluate(recipe)
    assert found.measures["quality"].value > 0.8
    assert any("words have a vector of glove.txt" in note for note in found.notes) == (form != "subwords")
    report = place.verify(recipe, {**recipe, "quantize": "dynamic_int8"}, tolerance=0.1)
    assert report.float_artifact.parity["holds"]
    assert report.twin is not None
    assert report.twin.parity["holds"]
    assert set(report.sample["columns"]) == set(TEXT)


def test_what_embeddings_begin_with_is_a_choice_of_the_training_alone(place: Place) -> None:
    facts = Snapshot.open(Path(place.snapshot)).facts
    known, given = catalogue_for(facts), {"fingerprint": facts.fingerprint, "seed": place.seed, "device": "cpu"}
    recipes = [Recipe({**BAG, **more}) for more in ({}, FORMS["frozen"], FORMS["subwords"])]
    none, frozen, pieces = (stage_keys(known, recipe, **given) for recipe in recipes)
    assert none.prepare == frozen.prepare != pieces.prepare
    assert len({none.train, frozen.train, pieces.train}) == 3


SEARCH = ("--target", "label", "--text", "title,text", "--trials", "1", "--inline", "--home", "home", "-o", "bundle")


def words(*more: str) -> list[str]:
    pins = {**BAG, "embedding_bag.epochs": 15, "batch_size": 16}
    return ["search", "news.csv", *SEARCH, *(w for n, v in pins.items() for w in ("--set", f"{n}={v}")), *more]


@pytest.mark.slow
def test_a_bundle_of_pieces_needs_nothing_more_than_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end_soon(monkeypatch)
    frame = text_frame(240)
    frame.to_csv(tmp_path / "news.csv", index=False)
    ran = run_here(*words("--set", "tokens=subwords"))
    assert ran.code == 0, ran.err
    bundle = tmp_path / "bundle"
    assert load_bundle(bundle).manifest["recipe"]["tokens"] == "subwords"
    assert check_bundle(bundle, seconds=0.05).holds
    assert "tokenizers" not in (bundle / "requirements.txt").read_text()
    without = tmp_path / "without" / "tokenizers.py"
    without.parent.mkdir()
    without.write_text("raise ModuleNotFoundError(__name__)")
    script = [sys.executable, str(bundle / "predict.py"), str(tmp_path / "news.csv"), str(tmp_path / "out.csv")]
    done = subprocess.run(
        script, env={**os.environ, "PYTHONPATH": str(without.parent)}, capture_output=True, check=True
    )
    assert done.stderr == b""
    found = pd.read_csv(tmp_path / "out.csv")["prediction"]
    assert (found.to_numpy() == frame["label"].to_numpy()).mean() > 0.9


@pytest.mark.slow
def test_a_search_begins_with_vectors_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end_soon(monkeypatch)
    text_frame(240).to_csv(tmp_path / "news.csv", index=False)
    frozen = ("--set", "pretrained=frozen")
    ran = run_here(*words("--embeddings", vectors(tmp_path).name, *frozen))
    assert ran.code == 0, ran.err
    assert "glove.txt: 12 words of the texts, 3 numbers each" in ran.out
    assert '--embeddings "glove.txt"' in (tmp_path / "bundle" / "recipe.yaml").read_text()
    refused = run_here(*words(*frozen))
    assert refused.code == 2
    assert "no file of word vectors was given: --embeddings FILE" in refused.err
    plain = run_here(*words("--dry-run")).out
    assert "--embeddings" not in plain
