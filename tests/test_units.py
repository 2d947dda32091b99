"""Human units in, SI out."""

import pytest

from edgesim.units import Dimension, dimension_of, mbit_per_s, quantity, show, si


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100 Mbit/s", 12.5e6),
        ("1 GB/s", 1e9),
        ("8 kbit", 1000),
        ("1 KB", 1000),
        ("4 GiB", 4 * 2**30),
        ("1 KiB", 1024),
        ("2.5MiB", 2.5 * 2**20),
        ("1 TiB", 2**40),
        ("236 GFLOP/s", 236e9),
        ("1.5 TFLOP", 1.5e12),
        ("2 ms", 0.002),
        ("30 us", 30e-6),
        ("30 µs", 30e-6),
        ("7 ns", 7e-9),
        ("1.5 h", 5400),
        ("2 min", 120),
        ("10 W", 10),
        ("5 mW", 0.005),
        ("3 Wh", 10800),
        ("1 kWh", 3.6e6),
        ("921.6 MHz", 921.6e6),
        (".5 s", 0.5),
        ("-1e-3 s", -0.001),
        (" 1 B ", 1),
        ("inf GB/s", float("inf")),
    ],
)
def test_quantities_are_read_into_si(text: str, value: float) -> None:
    assert si(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["100", "", "Mbit/s", "1 2 s", "fast", "1 s/m", "1,5 s", "inf", "1e s"])
def test_what_is_no_quantity_with_a_unit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a quantity with a unit: .*100 Mbit/s"):
        si(text)


@pytest.mark.parametrize("text", ["1 parsec", "1 Mib", "1 kmin", "1 mh", "inf parsec", "1 Mi", "1 m", "1 gb"])
def test_an_unknown_unit_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown unit .*known: B, bit, FLOP"):
        si(text)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (0, "J", "0 J"),
        (999.4, "B", "999 B"),
        (999.6, "B", "1 kB"),
        (1e-9, "s", "1 ns"),
        (2e-6, "s", "2 us"),
        (-3.2e9, "B", "-3.2 GB"),
        (5e15, "B", "5e+03 TB"),
        (float("inf"), "B/s", "inf B/s"),
        (float("nan"), "s", "nan s"),
    ],
)
def test_values_are_shown_with_three_digits_and_a_prefix(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


def test_what_is_shown_can_be_read_again() -> None:
    for value in (1.0, 0.25, 1234.5, 6.02e11, 4.2e-8):
        assert si(show(value, "s")) == pytest.approx(value, rel=0.005)


def test_network_people_write_megabits() -> None:
    assert mbit_per_s(si("100 Mbit/s")) == pytest.approx(100)


@pytest.mark.parametrize(
    ("name", "measures"),
    [
        ("flop_per_s", Dimension.FLOP_RATE),
        ("memory_bytes_per_s", Dimension.BYTE_RATE),
        ("memory_bytes", Dimension.SIZE),
        ("work_flop", Dimension.WORK),
        ("time_limit_s", Dimension.TIME),
        ("idle_w", Dimension.POWER),
        ("battery_j", Dimension.ENERGY),
        ("transmit_j_per_byte", Dimension.ENERGY_PER_BYTE),
        ("transmit_j_per_message", Dimension.ENERGY),
        ("samples_per_s", None),
        ("tokens", None),
        ("s", None),
    ],
)
def test_a_name_says_what_its_value_measures(name: str, measures: Dimension | None) -> None:
    assert dimension_of(name) is measures


@pytest.mark.parametrize("measures", Dimension)
def test_every_example_is_what_it_is_an_example_of(measures: Dimension) -> None:
    assert quantity(measures.example, measures, name="it") == si(measures.example)
    for other in Dimension:
        if other is not measures:
            with pytest.raises(ValueError, match=f"it: expected {other.noun}, .* like '{other.example}'"):
                quantity(measures.example, other, name="it")


def test_a_bare_number_is_si_where_its_unit_is_clear() -> None:
    assert quantity(12.5e6, Dimension.BYTE_RATE, name="bytes_per_s") == 12.5e6
    with pytest.raises(ValueError, match="without a unit"):
        quantity(20, Dimension.BYTE_RATE, name="network.rate", bare=False)


def test_only_what_ends_something_may_be_infinite() -> None:
    assert quantity("inf s", Dimension.TIME, name="event.end_s") == float("inf")
    with pytest.raises(ValueError, match="inf"):
        quantity("inf s", Dimension.TIME, name="event.start_s")
