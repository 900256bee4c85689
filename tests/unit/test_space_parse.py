"""Space files: what is refused and what the message says, and what a good one becomes."""

import pytest
from support_space import SMALL_SPACE, small_catalogue, small_space

from autoopt.errors import SpaceError
from autoopt.space import Choice, Dimension, Real, Whole, complete, parse_space

HEAD = "dimensions:\n  model: [forest, net, line]\n"

REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty": ("", ("is empty", "dimensions")),
    "only a comment": ("# nothing\n", ("is empty",)),
    "a text": ("hello", ("is not a mapping",)),
    "a list": ("- model", ("is not a mapping",)),
    "not yaml": ("dimensions: [a, b\nname: x", ("is not YAML at line 2",)),
    "a tab": ("dimensions:\n\tmodel: [net]", ("is not YAML at line 2",)),
    "python object": ("dimensions: !!python/object/apply:os.system ['true']", ("is not YAML",)),
    "control character": ("name: a\x00b", ("is not YAML",)),
    "nested too deeply": ("[" * 3000, ("is not YAML",)),
    "two documents": (HEAD + "---\n" + HEAD, ("is not YAML",)),
    "unhashable key": ("dimensions: {[a]: 1}", ("is not YAML",)),
    "unknown top-level key": (HEAD + "dimension: 1", ("Unknown key 'dimension'", "'dimensions'")),
    "name is a number": ("name: 3\n" + HEAD, ("name: 3 is not a text",)),
    "no dimensions": ("name: x", ("dimensions: there are none",)),
    "dimensions is a list": ("dimensions: [model]", ("dimensions: there are none",)),
    "no model": ("dimensions: {fill: [mean]}", ("'model' is not among the dimensions", "forest, net, line")),
    "unknown strategy": (HEAD + "  fil: [mean]", ("'fil' is no strategy's field", "Did you mean 'fill'?")),
    "unknown field": (HEAD + "  net.widht: [8]", ("Did you mean 'net.width'?",)),
    "unlike anything": (HEAD + "  zzz: 1", ("Known: model, fill",)),
    "a number as a name": (HEAD + "  7: [1]", ("7 is no strategy's field",)),
    "unknown choice": (HEAD + "  fill: [mena]", ("'mena' is not possible", "Did you mean 'mean'?", "median")),
    "null for none": (HEAD + "  fill: [null]", ("None is not possible", "Write 'none'")),
    "no choices": (HEAD + "  fill: []", ("the list of choices is empty", "one of median")),
    "a choice twice": (HEAD + "  fill: [mean, mean]", ("'mean' is given twice",)),
    "number outside": (HEAD + "  net.width: [4096]", ("4096 is not possible", "from 8 to 1024")),
    "fraction for a whole number": (HEAD + "  net.width: [8.5]", ("8.5 is not possible", "whole number")),
    "true for a number": (HEAD + "  net.width: [true]", ("True is not possible",)),
    "one for true": (HEAD + "  net.norm: [1]", ("1 is not possible", "True, False")),
    "text for a number": (HEAD + "  net.width: many", ("'many' is not possible",)),
    "huge number": (HEAD + "  forest.rate: [1" + "0" * 400 + "]", ("is not possible",)),
    "not a number": (HEAD + "  forest.rate: [.nan]", ("nan is not possible",)),
    "empty range": (HEAD + "  net.width: {low: 64, high: 32}", ("the range is empty", "Swap them")),
    "range outside": (HEAD + "  net.width: {low: 1, high: 2048}", ("low: 1 is not possible", "high: 2048")),
    "logarithm of zero": (HEAD + "  forest.rate: {low: 0, high: 1, log: true}", ("cannot start at 0",)),
    "log is a text": (HEAD + "  net.width: {low: 8, high: 9, log: yep}", ("log: 'yep' is neither",)),
    "no high": (HEAD + "  net.width: {low: 8}", ("neither a range nor choices", "low: ..., high: ...")),
    "low is a text": (HEAD + "  net.width: {low: few, high: 9}", ("low: 'few' is not possible",)),
    "range of names": (HEAD + "  fill: {low: 1, high: 2}", ("a range is not possible here", "Give a list")),
    "range and choices": (HEAD + "  net.width: {low: 8, choices: [8]}", ("exclude each other",)),
    "unknown key of a range": (HEAD + "  net.width: {low: 8, hgih: 9, high: 9}", ("'hgih'", "'high'")),
    "condition is a text": (HEAD + "  fill: {choices: [mean], when: net}", ("is not a mapping",)),
    "condition on itself": (HEAD + "  fill: {choices: [mean], when: {fill: mean}}", ("names itself",)),
    "condition on an unknown name": (
        HEAD + "  fill: {choices: [mean], when: {modle: net}}",
        ("'modle' is no strategy's field", "Did you mean 'model'?"),
    ),
    "condition on a name that is not in the space": (
        HEAD + "  fill: {choices: [mean], when: {shrink: none}}",
        ("'shrink' is no dimension of this space", "Add it before 'fill'"),
    ),
    "condition on a later one": (
        HEAD + "  fill: {choices: [mean], when: {shrink: none}}\n  shrink: [none]",
        ("'shrink' is decided later", "Move 'shrink' before 'fill'"),
    ),
    "condition value unknown": (
        HEAD + "  fill: {choices: [mean], when: {model: tree}}",
        ("model: 'tree' is not possible", "forest, net, line"),
    ),
    "condition value never taken": (
        "dimensions:\n  model: [net]\n  fill: {choices: [mean], when: {model: line}}",
        ("model is never 'line' in this space", "It takes one of net"),
    ),
    "condition without values": (HEAD + "  fill: {choices: [mean], when: {model: []}}", ("model: no values",)),
    "field whose model is not searched": (
        "dimensions:\n  model: [line]\n  net.width: [8]",
        ("it counts only when model is net, which no recipe has",),
    ),
    "field against its own condition": (
        HEAD + "  net.width: {choices: [8], when: {model: forest}}",
        ("model is net and model is forest, which no recipe has",),
    ),
    "field before what it hangs on": (
        "dimensions:\n  net.width: [8]\n  model: [net]",
        ("hangs on 'model', which is decided later", "Write 'model' before it"),
    ),
    "field of a field that is missing": (
        HEAD + "  rule.momentum: [0.9]",
        ("'rule' is no dimension", "Add 'rule'"),
    ),
    "overlapping variants": (
        HEAD
        + "  fill:\n    - {choices: [mean], when: {model: [net, line]}}\n    - {choices: [none], when: {model: line}}",
        ("two variants can hold at once",),
    ),
    "a variant without a condition": (
        HEAD + "  fill:\n    - {choices: [mean]}\n    - {choices: [none], when: {model: line}}",
        ("two variants can hold at once (always / model is line)",),
    ),
    "key twice": (HEAD + "  fill: [mean]\n  fill: [median]", ("Line 4: 'fill' is given twice",)),
    "key twice inside": (HEAD + "  net.width: {low: 8, low: 9, high: 10}", ("'low' is given twice",)),
    "portfolio is a mapping": (HEAD + "portfolio: {model: net}", ("portfolio: not a list",)),
    "portfolio of texts": (HEAD + "portfolio: [net]", ("recipe 1: 'net' is not a mapping",)),
    "portfolio with an unknown name": (
        HEAD + "portfolio: [{model: net}, {modle: net}]",
        ("portfolio, recipe 2: 'modle' is no dimension", "Did you mean 'model'?"),
    ),
    "portfolio outside the space": (
        HEAD + "  net.width: [8]\nportfolio: [{model: net, net.width: 16}]",
        ("recipe 1: net.width: 16 is not in the space", "Here it takes one of 8"),
    ),
    "portfolio with a field that means nothing": (
        HEAD + "  net.width: [8]\nportfolio: [{model: line, net.width: 8}]",
        ("net.width means nothing in this recipe",),
    ),
    "portfolio recipe twice": (HEAD + "portfolio: [{model: forest}, {}]", ("recipe 2: the same as recipe 1",)),
    "too many choices": (HEAD + f"  forest.depth: {list(range(1, 151))}", ("150 choices are too many",)),
    "too many dimensions": (
        "dimensions:\n" + "".join(f"  d{i}: [1]\n" for i in range(300)),
        ("300 are too many", "At most 200"),
    ),
}


@pytest.mark.parametrize("text, parts", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_with_what_is_allowed(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(text, small_catalogue(), source="my.yaml")
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert "my.yaml" in message
    assert all(p.mend for p in caught.value.problems), "each problem says what to do"
    assert len(message) < 1500


def test_everything_wrong_is_told_at_once() -> None:
    text = HEAD + "  fil: [mean]\n  net.width: {low: 9, high: 8}\n  shrink: []\n  shrink: [int9]\nextra: 1"
    with pytest.raises(SpaceError) as caught:
        parse_space(text, small_catalogue(), source="my.yaml")
    told = str(caught.value)
    assert len(caught.value.problems) == 5
    for part in ("given twice", "Unknown key 'extra'", "'fil'", "the range is empty", "'int9'"):
        assert part in told


def test_one_mistake_is_told_once() -> None:
    """What hangs on a dimension that could not be read is not told about as well."""
    text = "dimensions:\n  model: [nett]\n  net.width: [8]\n  rule: [sgd]\n  rule.momentum: [0.9]\nportfolio: [{a: 1}]"
    with pytest.raises(SpaceError) as caught:
        parse_space(text, small_catalogue(), source="my.yaml")
    assert len(caught.value.problems) == 1


def test_a_good_space_is_what_it_says() -> None:
    space = small_space()
    by_key = {d.key: d for d in space.dimensions}
    assert space.name == "small"
    assert [d.name for d in space.dimensions][:3] == ["model", "fill", "fill"]
    assert by_key["fill"] == Dimension(
        name="fill", domain=Choice(values=("native", "median")), when=(("model", ("forest",)),)
    )
    assert by_key["fill#2"].domain == Choice(values=("median", "mean"))
    assert by_key["forest.trees"].domain == Whole(low=10, high=300, log=True)
    assert by_key["forest.rate"].domain == Real(low=0.01, high=0.5, log=True)
    assert by_key["net.norm"].domain == Choice(values=(True, False))
    assert dict(by_key["rule.momentum"].when) == {"rule": ("sgd",), "model": ("net",)}


def test_numbers_are_read_as_people_write_them() -> None:
    text = HEAD + "  rule: [sgd]\n  rule.learning_rate: {low: 1e-4, high: 1E-1, log: true}\n  forest.trees: [50.0, 1e2]"
    by_key = {d.key: d.domain for d in parse_space(text, small_catalogue(), source="s").dimensions}
    assert by_key["rule.learning_rate"] == Real(low=1e-4, high=0.1, log=True)
    assert by_key["forest.trees"] == Choice(values=(50, 100))
    assert all(type(v) is int for v in by_key["forest.trees"].values)  # type: ignore[union-attr]


def test_a_single_value_is_a_choice_of_one() -> None:
    space = parse_space("dimensions: {model: net, net.norm: false}", small_catalogue(), source="s")
    assert [d.domain for d in space.dimensions] == [Choice(values=("net",)), Choice(values=(False,))]


def test_portfolio_recipes_are_whole() -> None:
    line, forest, net = small_space().portfolio
    assert dict(line) == {"fill": "median", "model": "line"}
    assert forest["forest.trees"] == 50
    assert forest["forest.rate"] == 0.1, "the strategy's default"
    assert forest["fill"] == "median", "the strategy's default, not the variant's first"
    assert net["net.width"] == 128
    assert net["rule.momentum"] == 0.9


def test_defaults_are_clipped_into_the_space() -> None:
    text = (
        HEAD + "  fill: [none]\n  forest.trees: {low: 200, high: 300}\n  forest.depth: [2, 5, 9]\n  forest.rate: [0.3]"
    )
    space = parse_space(text, small_catalogue(), source="s")
    recipe = complete(space, {}, small_catalogue())
    expected = {"fill": "none", "forest.depth": 5, "forest.rate": 0.3, "forest.trees": 200, "model": "forest"}
    assert dict(recipe) == expected


def test_complete_tells_all_that_does_not_fit() -> None:
    with pytest.raises(SpaceError) as caught:
        complete(small_space(), {"model": "net", "net.width": 63, "shrnk": "none"}, small_catalogue())
    assert len(caught.value.problems) == 2
    assert "Did you mean 'shrink'?" in str(caught.value)


def test_a_family_that_is_narrowed_needs_no_change_elsewhere() -> None:
    """Conditions of the strategies themselves may name members that this space does not search."""
    text = SMALL_SPACE.split("portfolio")[0].replace("[forest, net, line]", "[net]")
    kept = [line for line in text.splitlines() if "forest" not in line]
    space = parse_space("\n".join(kept).replace("[net, line]", "[net]"), small_catalogue(), source="s")
    assert {d.name.split(".")[0] for d in space.dimensions} == {"model", "fill", "net", "rule", "shrink"}
