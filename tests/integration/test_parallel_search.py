"""Searches whose trainings take several slots, from the command line to the bundle."""

from pathlib import Path

import pytest
from support_cli import end_soon, run_here

from autoopt.bundle import load_bundle
from autoopt.ledger import Ledger

pytestmark = pytest.mark.slow

DIGITS = ("search", "demo:digit_images", "--home", "home", "--study", "s", "--json")
SMALL = ("--set", "model=residual_net", "--set", "residual_net.width=8", "--set", "residual_net.epochs=4")


def notes_of(folder: Path) -> list[list[str]]:
    """Of each trial that was trained."""
    with Ledger.open(f"sqlite:///{folder / 'home' / 'autoopt.db'}", create=False) as ledger:
        return [list(trial.notes) for trial in ledger.trials("s") if trial.recipe["model"] == "residual_net"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end_soon(monkeypatch)


def test_two_ranks_train_each_trial_and_the_best_is_exported(tmp_path: Path) -> None:
    chosen = ("--set", "parallel=ddp", "--set", "resolution=half", "--slots", "2", "--trials", "1")
    ran = run_here(*DIGITS, *SMALL, *chosen)
    assert ran.code == 0, ran.err
    assert ran.last_json["best"]["valid"] > 0.2  # guessing gives 0.1
    for notes in notes_of(tmp_path):
        assert "trained by 2 ranks, each with its share of every batch" in notes
    assert len(load_bundle(tmp_path / "home" / "bundles" / "s").classes) == 10


def test_a_recipe_that_leaves_it_open_is_settled_by_the_first_training(tmp_path: Path) -> None:
    ran = run_here(*DIGITS, *SMALL, "--set", "resolution=half", "--slots", "2", "--trials", "1")
    assert ran.code == 0, ran.err
    told = [note for notes in notes_of(tmp_path) for note in notes if "parallel=" in note]
    assert told, notes_of(tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--slots", "1"), "the study has one slot"),
        (("--slots", "2", "--inline"), "the study has one slot"),
    ],
    ids=["one slot", "one process"],
)
def test_without_a_second_slot_it_is_refused(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    ran = run_here(*DIGITS, "--set", "parallel=ddp", "--trials", "1", *options)
    assert ran.code != 0
    assert told in ran.err
    assert not (tmp_path / "home").exists()
