"""Pinning choices (`--set`) and leaving out what does not apply."""

import pytest
from support_space import SMALL_SPACE, small_catalogue, small_space

from autoopt.errors import OptionError, SpaceError
from autoopt.space import Choice, Space, Untold, Value, parse_space, pin, restrict
from autoopt.space.domains import Whole

CATALOGUE = small_catalogue()


def values(space: Space, name: str) -> set[Value]:
    found = [d.domain for d in space.dimensions if d.name == name]
    return {v for domain in found if isinstance(domain, Choice) for v in domain.values}


def test_pinning_a_model_drops_what_can_no_longer_count() -> None:
    space = pin(small_space(), {"model": "net"}, CATALOGUE)
    assert {d.name for d in space.dimensions} == {
        *("model", "fill", "net.width", "net.norm", "rule", "rule.learning_rate", "rule.momentum", "shrink")
    }
    assert values(space, "shrink") == {"none", "int8"}
    assert [r["model"] for r in space.portfolio] == ["net"], "recipes of other models go"
    assert all(space.contains(r) for r in space.portfolio)


def test_pinning_a_value_replaces_it_in_the_portfolio() -> None:
    space = pin(small_space(), ["net.width=32", " rule = adam "], CATALOGUE)
    net = next(r for r in space.portfolio if r["model"] == "net")
    assert (net["net.width"], net["rule"]) == (32, "adam")
    assert "rule.momentum" not in net, "it counts for sgd only"
    assert [r["model"] for r in space.portfolio] == ["line", "forest", "net"]


def test_what_does_not_go_with_a_pinned_value_is_dropped_and_told() -> None:
    space = pin(small_space(), {"fill": "native"}, CATALOGUE)
    assert values(space, "model") == {"forest"}
    assert values(space, "fill") == {"native"}
    assert ("model=net", "fill=native does not go with it") in space.dropped
    assert [r["fill"] for r in space.portfolio] == ["native"]


def test_a_value_that_the_space_leaves_out_can_be_pinned() -> None:
    space = pin(small_space(), {"forest.trees": "999", "fill": "none"}, CATALOGUE)
    assert values(space, "forest.trees") == {999}
    assert values(space, "fill") == {"none"}
    assert values(space, "model") == {"forest", "net", "line"}


def test_a_field_that_the_space_leaves_out_can_be_pinned() -> None:
    small = parse_space("dimensions: {model: [net, line]}", CATALOGUE, source="s")
    space = pin(small, {"net.width": "48", "fill": "mean"}, CATALOGUE)
    assert values(space, "net.width") == {48}
    recipe = space.walk(lambda d: d.domain.values[0])  # type: ignore[union-attr]
    assert dict(recipe) == {"fill": "mean", "model": "net", "net.width": 48}


def test_values_are_read_by_the_fields_own_type() -> None:
    space = pin(small_space(), {"net.norm": "FALSE", "forest.rate": "1e-1", "forest.depth": "3"}, CATALOGUE)
    assert values(space, "net.norm") == {False}
    assert values(space, "forest.rate") == {0.1}
    assert values(space, "forest.depth") == {3}


def test_a_portfolio_that_contradicts_leaves_the_default_recipe() -> None:
    text = SMALL_SPACE.split("portfolio")[0] + "portfolio: [{model: line}]"
    space = pin(parse_space(text, CATALOGUE, source="s"), {"model": "net"}, CATALOGUE)
    (recipe,) = space.portfolio
    assert recipe["model"] == "net"
    assert space.contains(recipe)


@pytest.mark.parametrize(
    "pins, parts",
    [
        (["modle=net"], ("--set modle=net", "Did you mean 'model'?")),
        (["model=nett"], ("'nett' is not possible", "forest, net, line")),
        (["model"], ("'' is not possible", "forest, net, line")),
        (["=3"], ("'' is no strategy's field",)),
        ([""], ("'' is no strategy's field",)),
        (["forest.trees=many"], ("'many' is not possible", "from 1 to 1000")),
        (["forest.trees=1.5"], ("'1.5' is not possible",)),
        (["forest.trees=0"], ("'0' is not possible",)),
        (["forest.rate=nan"], ("'nan' is not possible",)),
        (["forest.rate=1e999"], ("'1e999' is not possible",)),
        (["net.norm=1"], ("'1' is not possible", "True, False")),
        (["model=net", "model=line"], ("model was set to net already",)),
        (["model=net", "forest.depth=3"], ("--set forest.depth=3 can never hold", "model is forest")),
        (["rule=adam", "rule.momentum=0.9"], ("--set rule.momentum=0.9 can never hold", "rule is sgd")),
        (["model=x", "fill=y", "z=1"], ("'x'", "'y'", "'z'")),
    ],
)
def test_impossible_pins_are_refused(pins: list[str], parts: tuple[str, ...]) -> None:
    with pytest.raises(OptionError) as caught:
        pin(small_space(), pins, CATALOGUE)
    for part in parts:
        assert part in str(caught.value)


def test_a_field_whose_condition_the_space_never_meets_cannot_be_pinned() -> None:
    only_lines = parse_space("dimensions: {model: [line]}", CATALOGUE, source="s")
    with pytest.raises(OptionError, match="counts only when model is net"):
        pin(only_lines, {"net.width": "8"}, CATALOGUE)


def test_choices_that_do_not_apply_go_and_are_told() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return "no such device" if (name, value) in {("shrink", "int8"), ("model", "line")} else None

    space = restrict(small_space(), reason)
    assert values(space, "shrink") == {"none", "compact"}
    assert values(space, "model") == {"forest", "net"}
    assert space.dropped == (("model=line", "no such device"), ("shrink=int8", "no such device"))
    assert [r["model"] for r in space.portfolio] == ["forest", "net"]
    assert all("line" not in vs for d in space.dimensions for _, vs in d.when)


SHRUNK = """\
dimensions: {model: [net, line], shrink: [int8, compact, none], fill: [mean, median]}
portfolio:
  - {model: line, shrink: int8, fill: mean}
  - {model: net, shrink: none, fill: mean}
  - {model: net, shrink: int8, fill: median}
"""


def test_a_recipe_takes_the_first_stand_in_that_is_left_for_a_choice_that_does_not_apply() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return "not here" if (name, value) in {("shrink", "int8"), ("fill", "median")} else None

    shrunk = parse_space(SHRUNK, CATALOGUE, source="s")
    space = restrict(shrunk, reason, {"shrink": ("int8", "compact", "none")})
    assert [dict(r) for r in space.portfolio] == [
        {"model": "line", "shrink": "compact", "fill": "mean"},
        {"model": "net", "shrink": "none", "fill": "mean"},
    ], "what fits stays as it is, and the last does not fit for another reason"
    assert [r["model"] for r in restrict(shrunk, reason).portfolio] == ["net"]


def test_a_range_of_whole_numbers_ends_with_the_last_that_can_be_used() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return Untold("too deep") if name == "forest.depth" and isinstance(value, int) and value > 7 else None

    space = restrict(small_space(), reason)
    assert [d.domain for d in space.dimensions if d.name == "forest.depth"] == [Whole(low=2, high=7)]
    assert space.dropped == ()
    deep = pin(small_space(), ["forest.depth=12"], CATALOGUE)
    with pytest.raises(SpaceError, match=r"No choice of forest\.depth .* \(12: too deep\)"):
        restrict(deep, reason)


def test_what_nobody_asked_for_goes_without_a_word_unless_nothing_is_left() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return Untold("it needs a file") if (name, value) == ("model", "line") else None

    space = restrict(small_space(), reason)
    assert values(space, "model") == {"forest", "net"}
    assert space.dropped == ()
    with pytest.raises(SpaceError, match="line: it needs a file"):
        restrict(pin(small_space(), ["model=line"], CATALOGUE), reason)


def test_a_field_that_means_nothing_here_goes_and_recipes_do_without() -> None:
    space = restrict(
        small_space(), lambda name, value: "no gap" if name.partition(".")[0] in {"fill", "rule"} else None
    )
    assert {d.name for d in space.dimensions}.isdisjoint({"fill", "rule", "rule.momentum", "rule.learning_rate"})
    assert space.dropped == (("fill", "no gap"), ("rule", "no gap"))
    assert dict(space.portfolio[0]) == {"model": "line"}
    assert len(space.portfolio) == 3
    assert all(space.contains(r) for r in space.portfolio)


def test_a_dimension_without_a_choice_is_an_error_that_says_why() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return f"no {value}" if value in {"forest", "net", "line", "adam", "sgd"} else None

    with pytest.raises(SpaceError) as caught:
        restrict(small_space(), reason)
    assert "No choice of model applies here (forest: no forest; net: no net; line: no line)" in str(caught.value)
    assert "No choice of rule applies here when model is net" in str(caught.value)


def test_what_hangs_on_a_dropped_model_is_not_asked_about() -> None:
    def reason(name: str, value: Value | None) -> str | None:
        return "no" if value in {"net", "adam", "sgd"} else None

    space = restrict(small_space(), reason)
    assert "rule" not in {d.name for d in space.dimensions}
    assert space.dropped == (("model=net", "no"),)


def test_the_order_of_pins_does_not_matter() -> None:
    one, other = (
        pin(small_space(), pins, CATALOGUE) for pins in (["fill=native", "model=net"], ["model=net", "fill=native"])
    )
    assert one == other
