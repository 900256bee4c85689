"""Recipes and measures in the words of the terminal and the page."""

from autoopt.report.wording import choices_that_matter, fallen_twins


def test_a_recipe_in_one_cell_begins_with_what_is_deployed_and_the_models_own_fields() -> None:
    recipe = {"model": "mlp", "mlp.width": 64, "mlp.depth": 2, "optimizer": "adamw", "quantize": "static_int8"}
    assert choices_that_matter(recipe) == "static_int8, width 64, depth 2, optimizer adamw"


def test_what_a_network_is_built_of_comes_before_how_long_it_trains() -> None:
    recipe = {"model": "residual_net", "residual_net.epochs": 9, "residual_net.dropout": 0.1, "residual_net.depth": 2}
    assert choices_that_matter(recipe) == "depth 2, epochs 9, dropout 0.1"
    assert choices_that_matter({**recipe, "residual_net.width": 8}) == "width 8, depth 2, epochs 9"


def test_all_choices_of_a_users_own_module_are_told() -> None:
    chosen = {"width": 48, "share": 0.123456, "norm": "group", "skip": True}
    recipe = {"model": "module", "module.epochs": 9, **{f"build.{name}": value for name, value in chosen.items()}}
    told = choices_that_matter(recipe)
    assert told.startswith("norm group, share 0.123, skip True, width 48")


def test_what_does_nothing_is_not_told() -> None:
    assert choices_that_matter({"model": "linear", "quantize": "none", "prune": "none", "scale": "none"}) == ""


def test_twins_that_fell_are_told_with_figures_and_the_one_that_was_taken_is_not() -> None:
    figures = {"valid": 0.8, "latency_ms": 0.0123, "bytes": 9000}
    tried = [
        {"form": {"quantize": "static_int8"}, **figures, "reason": "it loses 3 %."},
        {"form": {"quantize": "static_int8", "quantize.keep_float": 1}, **figures, "reason": ""},
        {"form": {"quantize": "fp16"}, "reason": "it cannot be traced."},
    ]
    assert fallen_twins(tried) == [
        "static_int8 (0.8000, 0.0123 ms, 9 kB): it loses 3 %.",
        "fp16: it cannot be traced.",
    ]
    assert fallen_twins(()) == []
    last = "There is no quantized twin, as all 2 forms that were tried fell; the last, fp16: it cannot be traced."
    assert fallen_twins(tried, last) == ["static_int8 (0.8000, 0.0123 ms, 9 kB): it loses 3 %."]


def test_twins_that_fell_are_told_of_older_bundles_too() -> None:
    head = "The quantized twin is not as promised: "
    older = {"form": {"quantize": "static_int8"}, "valid": 0.8, "bytes": 9, "reason": f"{head}it loses 3 %."}
    assert fallen_twins([older]) == ["static_int8 (0.8000, 9 B): it loses 3 %."]
