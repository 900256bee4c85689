"""A search whose weak trials are better together: the ensemble is a trial, is exported, predicts and is checked."""

from pathlib import Path

import numpy as np
import pytest
from support_cli import Ran, run_here
from support_ensembles import DATA, weak_space

from autoopt.app.api import load_study
from autoopt.app.artifacts import check_folder
from autoopt.app.options import Places, SearchOptions
from autoopt.app.session import ENSEMBLE_SHARE, end_seconds
from autoopt.app.study import Study
from autoopt.app.understanding import understand
from autoopt.bundle import load_bundle
from autoopt.runtime import Session
from autoopt.space import Recipe
from autoopt.space.ensembles import MEMBERS, is_ensemble, members_of, shares
from autoopt.values import TrialState

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, in this process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ensembles")
    weak_space(made)
    return made


@pytest.fixture(scope="module")
def searched(folder: Path) -> tuple[Ran, Study]:
    """Its limit is kept by each of the trials, and by their ensemble when that is quantized."""
    words = ("--study", "weak", "--trials", "6", "--limit", "size_bytes<=15kB", "--slots", "1", "--inline", "--json")
    home, space = str(folder / "home"), str(folder / "weak.yaml")
    ran = run_here("search", DATA, "--space", space, "--home", home, *words)
    assert ran.code == 0, ran.err
    return ran, load_study("weak", home=home)


@pytest.mark.slow
def test_the_ensemble_is_a_trial_keeps_the_limits_and_is_exported(searched: tuple[Ran, Study]) -> None:
    ran, study = searched
    found = [t for t in study.trials if is_ensemble(t.recipe)]
    assert {(t.source, t.attempts) for t in found} == {("ensemble", 1)}
    assert {t.recipe["quantize"] for t in found} == {MEMBERS}, "in float two members are too large: none is built"
    *too_large, exported = found
    assert {t.state for t in too_large} <= {TrialState.INFEASIBLE}
    assert exported.state is TrialState.COMPLETE
    singles = [t for t in study.trials if not is_ensemble(t.recipe)]
    assert study.totals.counted == len(singles) == 6
    assert study.best == exported
    assert study.best.measures["quality"].value > max(t.measures["quality"].value for t in singles)
    assert study.best in study.front
    manifest = load_bundle(study.bundle).manifest  # type: ignore[arg-type]  # it was written
    assert (manifest["trial"], manifest["chosen"], manifest["missed"]) == (exported.number, "quantized", "")
    assert {m.trial for m in members_of(manifest["recipe"])} <= {t.number for t in singles}
    assert "ensemble of trials" in ran.err


@pytest.mark.slow
def test_the_bundle_predicts_what_its_members_mean(searched: tuple[Ran, Study], folder: Path) -> None:
    _, study = searched
    assert study.bundle is not None
    assert check_folder(study.bundle).holds
    bundle = load_bundle(study.bundle)
    sample = bundle.sample()
    members = members_of(bundle.manifest["recipe"])
    mean = np.zeros_like(np.array(sample["float"]))
    for member, share in zip(members, shares(members), strict=True):
        key = study.trials[member.trial].artifact_key
        alone = Session(folder / "home" / "store" / "deploy" / key / "model.onnx")
        mean += share * alone.run(bundle.front.feed(sample["columns"]))
    np.testing.assert_allclose(bundle.scores(sample["columns"], artifact="float"), mean, atol=1e-5)


@pytest.mark.slow
def test_its_recipe_is_understood_as_one_to_run_again(searched: tuple[Ran, Study], folder: Path) -> None:
    _, study = searched
    assert study.best is not None
    options = SearchOptions(
        data=DATA, recipe=f"{study.bundle}/recipe.yaml", places=Places(home=str(folder / "other")), inline=True
    )
    found = understand(options)
    assert found.recipe == Recipe(study.best.recipe)
    assert found.space.portfolio == (found.recipe,)
    assert found.space.dropped == ()


@pytest.mark.slow
def test_a_resumed_study_leaves_it_out_of_the_next_one(searched: tuple[Ran, Study], folder: Path) -> None:
    _, study = searched
    before = study.trials
    ran = run_here("resume", "weak", "--trials", "2", "--home", str(folder / "home"), "--json")
    assert ran.code == 0, ran.err
    after = study.trials
    assert [t.number for t in after] == list(range(len(after)))
    assert [t.recipe for t in after[: len(before)]] == [t.recipe for t in before]
    assert study.totals.counted == 8
    ensembles = {t.number for t in after if is_ensemble(t.recipe)}
    for number in ensembles:
        assert not {m.trial for m in members_of(after[number].recipe)} & ensembles
    assert study.best is not None
    assert is_ensemble(study.best.recipe)


def test_the_end_has_time_for_both_and_never_more_than_there_is() -> None:
    for left_s in (4.0, 9.6, 48.0, 600.0):
        measuring, averaging = end_seconds(left_s, True)
        assert measuring + averaging <= max(1.0, left_s - 3.0)
        assert averaging <= ENSEMBLE_SHARE * (measuring + averaging) + 1e-9
        assert end_seconds(left_s, False)[1] == 0.0
    assert end_seconds(float("inf"), True)[1] > 0
