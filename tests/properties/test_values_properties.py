"""Durations, sizes and limits: whatever is written is read back, or refused with an OptionError."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.errors import OptionError
from autoopt.values import MEASURE_UNITS, Limit, Measurement, format_bytes, format_seconds, parse_duration_s
from autoopt.values.quantities import parse_measure_value

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "ms": 0.001}


@given(st.integers(1, 100_000), st.sampled_from(sorted(UNITS_S)))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    seconds = number * UNITS_S[unit]
    if seconds < 366 * 86400:
        assert parse_duration_s(f"{number}{unit}") == pytest.approx(seconds)


@given(st.integers(0, 50), st.integers(0, 59), st.integers(1, 59))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration_s(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_above_zero_or_refused(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert 0 < parse_duration_s(text) < 366 * 86400


@given(st.text(max_size=30))
def test_any_text_is_a_limit_on_a_measure_or_refused(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert Limit.parse(text).measure in MEASURE_UNITS


@given(
    st.sampled_from([m for m in MEASURE_UNITS if m != "quality"]),
    st.floats(min_value=1e-6, max_value=1e12, allow_nan=False),
)
def test_a_limit_is_read_as_it_is_written(measure: str, bound: float) -> None:
    limit = Limit(measure=measure, sense="<=", bound=bound)
    again = Limit.parse(str(limit))
    assert again.bound == pytest.approx(bound, rel=1e-11)
    assert str(again) == str(limit)


@given(st.floats(min_value=1, max_value=1e15))
def test_bytes_keep_three_digits(count: float) -> None:
    text = format_bytes(count)
    read = parse_measure_value("bytes", text)
    assert read == pytest.approx(count, rel=0.006, abs=0.5)


@given(st.integers(1, 10_000_000))
def test_seconds_are_told_to_the_minute_at_least(seconds: int) -> None:
    shown = parse_duration_s(format_seconds(seconds)) if seconds < 366 * 86400 else seconds
    assert abs(shown - seconds) <= (60 if seconds >= 3600 else 0)


@given(st.builds(Measurement, value=st.floats(allow_nan=False, allow_infinity=False), provisional=st.booleans()))
def test_measurements_survive_json(measurement: Measurement) -> None:
    assert Measurement.from_json(measurement.to_json()) == measurement
