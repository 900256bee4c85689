"""Limits, objectives and budgets as people write them."""

import pytest

from autoopt.errors import OptionError
from autoopt.values import Budget, Limit, Measurement, broken, parse_bytes, parse_limits, parse_objectives


@pytest.mark.parametrize(
    ("text", "measure", "sense", "bound"),
    [
        ("latency_ms<=1", "latency_ms", "<=", 1.0),
        ("latency_ms<=300us", "latency_ms", "<=", 0.3),
        ("latency_ms < 0.5 s", "latency_ms", "<=", 500.0),
        ("size_bytes<=5MB", "size_bytes", "<=", 5e6),
        ("size_bytes<=1MiB", "size_bytes", "<=", 1048576.0),
        ("quality>=0.9", "quality", ">=", 0.9),
        ("quality>=90%", "quality", ">=", 0.9),
        ("quality<=-3", "quality", "<=", -3.0),
        ("train_s<=2m", "train_s", "<=", 120.0),
        ("peak_memory_bytes<=2GiB", "peak_memory_bytes", "<=", 2.0**31),
    ],
)
def test_a_limit_is_read_in_its_measures_unit(text: str, measure: str, sense: str, bound: float) -> None:
    limit = Limit.parse(text)
    assert (limit.measure, limit.sense) == (measure, sense)
    assert limit.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "MEASURE<=VALUE"),
        ("latency_ms", "MEASURE<=VALUE"),
        ("latency_ms==1", "MEASURE<=VALUE"),
        ("latency<=1", "names no measure"),
        ("latency_ms<=fast", "'fast' is no value"),
        ("latency_ms<=1MB", "no value of latency_ms (ms)"),
        ("size_bytes<=1ms", "no value of size_bytes (bytes)"),
        ("quality>=nan", "no value of quality"),
        ("quality>=1e999", "no value of quality"),
        ("latency_ms<=0", "can never hold"),
        ("size_bytes<=-1", "can never hold"),
        ("latency_ms>=1", "asks for more latency_ms"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(OptionError) as caught:
        Limit.parse(text)
    assert says in str(caught.value)
    assert caught.value.problems[0].mend


def test_every_wrong_limit_is_told() -> None:
    with pytest.raises(OptionError) as caught:
        parse_limits(["latency_ms<=0", "size_bytes<=1MB", "speed<=1"])
    assert [p.what.split("'")[1] for p in caught.value.problems] == ["latency_ms<=0", "speed<=1"]


def test_a_missing_measure_breaks_its_limit() -> None:
    limits = parse_limits(["latency_ms<=1", "size_bytes<=100", "quality>=0.5"])
    measures = {"latency_ms": Measurement(value=1.0), "quality": Measurement(value=0.4)}
    assert [x.measure for x in broken(limits, measures)] == ["size_bytes", "quality"]


def test_misses_of_different_units_compare_as_shares() -> None:
    latency, size = Limit.parse("latency_ms<=2"), Limit.parse("size_bytes<=1000")
    assert latency.relative_excess(3.0) == pytest.approx(0.5)
    assert size.relative_excess(1100.0) == pytest.approx(0.1)
    assert Limit.parse("quality>=0.8").excess(0.9) == pytest.approx(-0.1)


def test_objectives_go_the_right_way() -> None:
    found = parse_objectives(["quality", "size_bytes"], "maximize")
    assert [(o.measure, o.direction) for o in found] == [("quality", "maximize"), ("size_bytes", "minimize")]
    assert parse_objectives(["quality"], "minimize")[0].direction == "minimize"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "names no measure"),
        ([""], "names no measure"),
        (["quality", "speed"], "'speed' is no measure"),
        (["quality", ""], "'' is no measure"),
        (["quality", "quality"], "quality more than once"),
    ],
)
def test_objectives_that_are_none_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        parse_objectives(names, "maximize")


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("size_bytes<=5kB", 25310.0, "size_bytes<=5 kB broken: 25.3 kB"),
        ("size_bytes<=5kB", 5001.0, "size_bytes<=5 kB broken: 5001"),
        ("quality_drop<=0.5%", 2.04167, "quality_drop<=0.5% broken: 2.042%"),
        ("latency_ms<=1", 3.0, "latency_ms<=1 broken: 3"),
        ("quality>=0.92541", 0.9, "quality>=0.92541 broken: 0.9"),
    ],
)
def test_a_miss_is_told_in_the_units_that_people_use(text: str, value: float, told: str) -> None:
    limit = Limit.parse(text)
    assert f"{limit.told()} broken: {limit.miss_text(value)}" == told


@pytest.mark.parametrize(
    ("had", "more", "spent_s", "counted", "then"),
    [
        (Budget(trials=10), Budget(trials=5), 3.0, 10, Budget(trials=15)),
        (Budget(trials=10), Budget(trials=5), 3.0, 4, Budget(trials=15)),
        (Budget(seconds=60), Budget(seconds=30), 65.0, 4, Budget(seconds=95)),
        (Budget(trials=10), Budget(seconds=120), 50.0, 10, Budget(seconds=170)),
        (Budget(trials=10), Budget(seconds=120), 50.0, 4, Budget(seconds=170, trials=10)),
        (Budget(seconds=60, trials=10), Budget(), 60.0, 10, Budget(seconds=60, trials=10)),
    ],
)
def test_more_budget_counts_from_what_is_used_up(
    had: Budget, more: Budget, spent_s: float, counted: int, then: Budget
) -> None:
    assert had.extended(more, spent_s=spent_s, counted=counted) == then


@pytest.mark.parametrize(("text", "size"), [("500MB", 5e8), ("2 GB", 2e9), ("1.5GiB", 1.5 * 2**30), ("800000000", 8e8)])
def test_a_size_is_read_in_its_unit(text: str, size: float) -> None:
    assert parse_bytes(text, option="--memory") == size


@pytest.mark.parametrize("text", ["", "much", "2 GX", "0", "-1GB", "1e999GB", "5%", "2m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"--memory .* is not a size"):
        parse_bytes(text, option="--memory")
