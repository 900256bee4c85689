"""Spaces by name and by path, recipes from files, and the shipped catalogue that they are read against."""

import subprocess
import sys
from pathlib import Path

import pytest
from support_space import SMALL_SPACE, small_catalogue, small_space

from autoopt.errors import SpaceError
from autoopt.space import Recipe, load_space, pin, recipe_from_file, restrict, space_of
from autoopt.strategies import STRATEGIES, applies_reason, artifacts, catalogue, models, twin_values
from autoopt.strategies.base import Strategy
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts
from autoopt.values import Slot

CATALOGUE = small_catalogue()


def test_a_path_is_a_file_and_a_name_is_shipped(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL_SPACE)
    assert load_space(str(path), CATALOGUE) == small_space()
    assert load_space("tabular", catalogue()).name == "tabular"


def test_unknown_names_and_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    (tmp_path / "huge.yaml").write_bytes(b"#" * 2_000_000)
    for given, part in {
        "tabluar": "Did you mean 'tabular'?",
        "": "There is no space ''",
        "zzz": "Known: ",
        str(tmp_path / "absent.yaml"): "is not there",
        f"{tmp_path}/": "is a folder",
        str(tmp_path / "folder.yaml"): "is a folder",
        str(tmp_path / "latin.yaml"): "is not UTF-8 (byte 9)",
        str(tmp_path / "huge.yaml"): "too many",
        str(tmp_path / "x" / ("a" * 300 + ".yaml")): "",
        "nul\x00.yaml": "cannot be read",
    }.items():
        with pytest.raises(SpaceError) as caught:
            load_space(given, catalogue())
        assert part in str(caught.value)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL_SPACE.encode())
    assert load_space(str(path), CATALOGUE) == small_space()


def test_a_recipe_goes_through_its_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for recipe in small_space().portfolio:
        path.write_text(recipe.to_yaml())
        assert recipe_from_file(path, small_space(), CATALOGUE) == recipe
        assert space_of(recipe).contains(recipe)


def test_a_short_recipe_is_filled_and_may_leave_the_space(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: forest\nforest.trees: 1000\nfill: none\n")
    recipe = recipe_from_file(path, small_space(), CATALOGUE)
    assert (recipe["forest.trees"], recipe["fill"], recipe["forest.depth"]) == (1000, "none", 6)
    assert space_of(recipe).portfolio == (recipe,)


@pytest.mark.parametrize(
    "text, part",
    [
        ("", "is not a list of 'name: value' lines"),
        ("[1, 2]", "is not a list of 'name: value' lines"),
        ("a: [", "is not YAML"),
        ("fill: mean", "'model' is missing"),
        ("modle: net", "Did you mean 'model'?"),
        ("model: tree", "'tree' is not possible"),
        ("model: [net]", "is not possible"),
        ("model: net\nnet.width: 9999", "9999 is not possible"),
        ("model: line\nnet.width: 8", "net.width counts only when model is net; here it is line"),
        ("model: line\nmodel: net", "'model' is given twice"),
        ("model: null", "None is not possible"),
    ],
)
def test_a_bad_recipe_is_refused(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        recipe_from_file(path, small_space(), CATALOGUE)
    assert part in str(caught.value)
    assert str(path) in str(caught.value)


# ---- the catalogue ------------------------------------------------------------------------


def test_every_strategy_class_of_the_package_is_exported() -> None:
    def leaves(kind: type[Strategy]) -> set[type[Strategy]]:
        below = kind.__subclasses__()
        return {kind} if not below else set().union(*(leaves(k) for k in below))

    mine = {k for k in leaves(Strategy) if k.__module__.startswith("autoopt.")}
    assert mine == set(STRATEGIES)


def test_conditions_of_the_catalogue_name_earlier_fields_and_possible_values() -> None:
    seen: set[str] = set()
    declarations = catalogue().declarations
    assert next(iter(declarations)) == "model"
    for declaration in declarations.values():
        assert declaration.domain.contains(declaration.default), declaration.name
        for other, values in declaration.when:
            assert other in seen, f"{declaration.name} hangs on {other}, which is decided later"
            assert all(declarations[other].domain.contains(v) for v in values)
        seen.add(declaration.name)


def test_every_model_has_an_artifact_and_knows_its_twins() -> None:
    allowed = catalogue().declarations["quantize"].domain
    for name, model in models().items():
        assert model.artifact_kind in artifacts()
        twins = twin_values(Recipe({"model": name}))
        assert all(allowed.contains(v) for v in twins)
        assert "none" not in twins
    assert twin_values(Recipe({"model": "linear"})) == ()
    assert twin_values(Recipe({"model": "lightgbm"})) == ("compact", "trimmed")


def facts(*roles: Role, missing: int = 0) -> TaskFacts:
    return TaskFacts(
        name="t.csv",
        modality=Modality.TABULAR,
        kind=Kind.BINARY,
        metric="roc_auc",
        metric_direction="maximize",
        target="y",
        classes=("a", "b"),
        numeric_classes=False,
        columns=tuple(ColumnFacts(name=f"c{i}", role=r, used=True, missing=missing) for i, r in enumerate(roles)),
        rows={"train": 80, "valid": 10, "test": 10},
        fingerprint="0" * 64,
    )


@pytest.mark.parametrize("roles", [(Role.NUMBER,) * 4, (Role.CATEGORY,) * 2, (Role.NUMBER, Role.CATEGORY)])
@pytest.mark.parametrize("missing", [0, 3])
@pytest.mark.parametrize("features", [frozenset(), frozenset({"bf16"})])
def test_the_tabular_space_holds_for_every_table(
    roles: tuple[Role, ...], missing: int, features: frozenset[str]
) -> None:
    slot = Slot(index=0, features=features)
    full = load_space("tabular", catalogue())
    space = restrict(full, applies_reason(facts(*roles, missing=missing), slot))
    names = {d.name for d in space.dimensions}
    assert ("encode" in names) == (Role.CATEGORY in roles)
    assert ("impute" in names) == (missing > 0 and Role.NUMBER in roles)
    precision = next(d for d in space.dimensions if d.name == "precision")
    assert precision.domain.contains("bf16") == ("bf16" in features)
    assert not precision.domain.contains("fp16")
    assert len(space.portfolio) == len(full.portfolio), "every recipe is fit for every table"
    assert all(why for _, why in space.dropped)


@pytest.mark.parametrize("model", [name for name, m in models().items() if Modality.TABULAR in m.modalities])
def test_each_model_can_be_pinned_in_the_tabular_space(model: str) -> None:
    space = pin(load_space("tabular", catalogue()), {"model": model}, catalogue())
    assert {r["model"] for r in space.portfolio} == {model}
    assert all(space.contains(r) for r in space.portfolio)


def test_the_catalogue_loads_without_torch_and_lightgbm() -> None:
    code = "import sys, autoopt.strategies; print([m for m in ('torch', 'lightgbm', 'optuna') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
