"""A stage's key changes with what the stage hangs on, and with nothing else."""

import pytest

from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.domains import Choice
from autoopt.space.recipe import Recipe
from autoopt.stages import keys
from autoopt.stages.keys import StageKeys, stage_keys


def _declare(name: str, stage: str) -> Declaration:
    return Declaration(name=name, domain=Choice(values=("a", "b")), default="a", strategy=name, stage=stage)


CATALOGUE = Catalogue([_declare("impute", "prepare"), _declare("model", "train"), _declare("quantize", "deploy")])
RECIPE = Recipe({"impute": "a", "model": "a", "quantize": "a"})


def _keys(recipe: Recipe = RECIPE, *, fingerprint: str = "f", seed: int = 1, device: str = "cpu") -> StageKeys:
    return stage_keys(CATALOGUE, recipe, fingerprint=fingerprint, seed=seed, device=device)


def test_keys_are_sha256_and_differ_by_stage() -> None:
    found = _keys()
    assert len({found.prepare, found.train, found.deploy}) == 3
    assert all(len(k) == 64 and set(k) <= set("0123456789abcdef") for k in (found.prepare, found.train, found.deploy))


def test_equal_inputs_give_equal_keys() -> None:
    assert _keys() == _keys(Recipe(dict(reversed(RECIPE.to_json().items()))))


@pytest.mark.parametrize(
    ("slot", "changed"),
    [("impute", {"prepare", "train", "deploy"}), ("model", {"train", "deploy"}), ("quantize", {"deploy"})],
)
def test_a_slot_changes_its_own_stage_and_those_after_it(slot: str, changed: set[str]) -> None:
    before, after = _keys(), _keys(RECIPE.replace({slot: "b"}))
    assert {s for s in ("prepare", "train", "deploy") if getattr(before, s) != getattr(after, s)} == changed


def test_a_slot_that_nobody_declares_counts_from_the_first_stage_on() -> None:
    before, after = _keys(), _keys(RECIPE.replace({"unknown": "b"}))
    assert before.prepare != after.prepare
    assert before.deploy != after.deploy


@pytest.mark.parametrize(
    ("origin", "changed"),
    [
        ({"fingerprint": "g"}, {"prepare", "train", "deploy"}),
        ({"seed": 2}, {"train", "deploy"}),
        ({"device": "cuda"}, {"train", "deploy"}),
    ],
)
def test_task_seed_and_device_count_where_they_matter(origin: dict[str, object], changed: set[str]) -> None:
    before, after = _keys(), _keys(**origin)  # type: ignore[arg-type]
    assert {s for s in ("prepare", "train", "deploy") if getattr(before, s) != getattr(after, s)} == changed


@pytest.mark.parametrize(
    ("library", "changed"),
    [("torch", {"train", "deploy"}), ("onnxruntime", {"prepare", "train", "deploy"}), ("pandas", set())],
)
def test_a_library_version_counts_for_the_stages_that_use_it(
    library: str, changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _keys()
    real = keys.library_version
    monkeypatch.setattr(keys, "library_version", lambda name: "other" if name == library else real(name))
    after = _keys()
    assert {s for s in ("prepare", "train", "deploy") if getattr(before, s) != getattr(after, s)} == changed


def test_the_version_of_the_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _keys()
    monkeypatch.setattr(keys, "CODE_VERSIONS", {**keys.CODE_VERSIONS, "deploy": 99})
    after = _keys()
    assert (before.train, before.deploy != after.deploy) == (after.train, True)


def test_a_library_that_is_not_installed_is_absent() -> None:
    assert keys.library_version("no-such-distribution-anywhere") == "absent"
