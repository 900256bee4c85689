"""An ensemble's recipe says all that is needed to build it again, and is read strictly."""

from pathlib import Path

import pytest

from autoopt.app.twin_ladder import rungs_of, safer
from autoopt.errors import SpaceError
from autoopt.report.wording import choices_that_matter
from autoopt.space import Recipe, load_space, recipe_from_file, restrict, space_of
from autoopt.space.ensembles import MEMBERS, MEMBERS_FP16, Member, ensemble_recipe, ensemble_words, members_of, shares
from autoopt.stages.ensemble_flow import deployed_form
from autoopt.strategies import catalogue, twin_values

TREE = Member(trial=15, weight=2, recipe=Recipe({"model": "decision_tree", "quantize": "compact"}))
LINE = Member(trial=3, weight=1, recipe=Recipe({"model": "linear", "quantize": "none", "linear.C": 0.5}))
NETWORK = Member(
    trial=7,
    weight=1,
    recipe=Recipe({"model": "mlp", "quantize": "static_int8", "quantize.calibration_rows": 256}),
)


def test_members_come_back_by_trial_whatever_their_order() -> None:
    recipe = ensemble_recipe([TREE, LINE, NETWORK])
    assert recipe == ensemble_recipe([NETWORK, TREE, LINE])
    assert members_of(recipe) == (LINE, NETWORK, TREE)
    assert members_of(Recipe.from_yaml(recipe.to_yaml())) == (LINE, NETWORK, TREE)
    assert shares(members_of(recipe)) == (0.25, 0.25, 0.5)
    assert ensemble_words(recipe) == "ensemble of trials 3, 7, 15 ×2"


def test_people_read_which_trials_it_is_made_of() -> None:
    assert choices_that_matter(ensemble_recipe([TREE, LINE])) == "ensemble of trials 3, 15 ×2"
    assert choices_that_matter(ensemble_recipe([TREE, LINE], quantize=MEMBERS)).endswith(", each quantized")
    assert choices_that_matter(ensemble_recipe([TREE, NETWORK], quantize=MEMBERS_FP16)).endswith("networks in fp16")


def test_the_choice_to_be_a_member_is_no_part_of_it() -> None:
    willing = Member(trial=3, weight=1, recipe=LINE.recipe.replace({"ensemble": "greedy"}))
    assert ensemble_recipe([TREE, willing]) == ensemble_recipe([TREE, LINE])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ensemble.1.weight": 0}, "weight"),
        ({"ensemble.1.weight": True}, "weight"),
        ({"ensemble.1.trial": "three"}, "trial"),
        ({"linear.C": 0.5}, "it holds linear.C"),
        ({"quantize": "compact"}, "quantize"),
        ({"ensemble.3.trial": 4}, "ensemble.3 is no member"),
    ],
)
def test_what_is_no_ensemble_is_refused(changes: dict[str, object], told: str) -> None:
    recipe = ensemble_recipe([TREE, LINE]).replace(changes)  # type: ignore[arg-type]  # what a file may hold
    with pytest.raises(SpaceError, match=told):
        members_of(recipe)


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(SpaceError, match="1 members"):
        members_of(ensemble_recipe([TREE]))


def test_each_member_is_deployed_in_float_or_in_its_own_quantized_form() -> None:
    assert deployed_form(NETWORK.recipe, "none") == Recipe({"model": "mlp", "quantize": "none"})
    assert deployed_form(NETWORK.recipe, MEMBERS) == NETWORK.recipe
    plain = Recipe({"model": "random_forest", "quantize": "none"})
    assert deployed_form(plain, MEMBERS)["quantize"] == "compact"
    assert deployed_form(LINE.recipe, MEMBERS) == LINE.recipe


def test_networks_are_deployed_in_half_precision_where_the_safest_form_is_asked_for() -> None:
    assert deployed_form(NETWORK.recipe, MEMBERS_FP16) == Recipe({"model": "mlp", "quantize": "fp16"})
    for member in (TREE, LINE):
        assert deployed_form(member.recipe, MEMBERS_FP16) == member.recipe
    recipe = ensemble_recipe([TREE, NETWORK])
    assert rungs_of(recipe) == ({"quantize": MEMBERS}, {"quantize": MEMBERS_FP16})
    assert safer(rungs_of(recipe)) == [{"quantize": MEMBERS_FP16}]
    assert members_of(recipe.replace({"quantize": MEMBERS_FP16})) == members_of(recipe)


def test_the_twin_is_that_of_the_members() -> None:
    other = Member(trial=4, weight=1, recipe=Recipe({"model": "linear_svm", "quantize": "none"}))
    assert twin_values(ensemble_recipe([LINE, TREE])) == (MEMBERS,)
    assert twin_values(ensemble_recipe([LINE, NETWORK])) == (MEMBERS, MEMBERS_FP16)
    assert twin_values(ensemble_recipe([LINE, other])) == ()


def test_an_exported_recipe_is_read_again_and_makes_a_space(tmp_path: Path) -> None:
    space = load_space("tabular", catalogue())
    file = tmp_path / "recipe.yaml"
    file.write_text(ensemble_recipe([TREE, LINE]).to_yaml())
    recipe = recipe_from_file(file, space, catalogue())
    assert members_of(recipe) == (LINE, TREE)
    own = restrict(space_of(recipe), lambda _name, _value: None)
    assert own.portfolio == (recipe,)
    assert own.contains(recipe)


def test_what_is_wrong_with_a_member_is_told_with_its_trial(tmp_path: Path) -> None:
    space = load_space("tabular", catalogue())
    file = tmp_path / "recipe.yaml"
    wrong = {"ensemble.1.linear.C": -1.0, "ensemble.2.decision_tree.leaves": 3}
    file.write_text(ensemble_recipe([TREE, LINE]).replace(wrong).to_yaml())
    with pytest.raises(SpaceError) as caught:
        recipe_from_file(file, space, catalogue())
    text = str(caught.value)
    assert "trial 3, a member: linear.C" in text
    assert "trial 15, a member: 'decision_tree.leaves' is no strategy's field" in text
