"""Is nothing called a win that lies within an interval, and how likely is each line said to be the fastest?"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pandas import DataFrame
from test_predicted_intervals import residuals

from experiments.intervals.wins import is_way
from experiments.tables.methods import methods_table
from experiments.tables.ranking import Ranking, ranking


def row(method: str, seconds: float, **more: object) -> dict[str, object]:
    """A simulated run."""
    return {
        "study": "s",
        "cluster": "demo",
        "model": "bert",
        "method": method,
        "bandwidth_bit_per_s": 1e8,
        "player": "simulated",
        "makespan_s": seconds,
        "status": "done",
        "reason": "",
    } | more


def best(rows: Sequence[dict[str, object]], value: str = "makespan_s") -> Ranking:
    """The ranking of these rows."""
    return ranking(DataFrame(list(rows)), value=value, top=9)


@pytest.fixture
def known(tmp_path: Path) -> dict[str, object]:
    """Executed plans of a setting are up to 38 % apart from what was simulated beside each other."""
    residuals().save(path := tmp_path / "study.residuals.json")
    return {"interval_from": str(path), "interval_kind": "train"}


def chances(found: Ranking) -> list[str]:
    """The last column."""
    assert found.heads[-1] == "P(fastest)"
    return [line[-1] for line in found.lines]


def test_lines_within_the_interval_of_the_fastest_are_marked_and_none_is_a_win(known: dict[str, object]) -> None:
    found = best([row("data", 1.0, **known), row("pipeline", 1.05, **known), row("tensor", 9.0, **known)])
    assert [line[1] for line in found.lines] == ["1.00 ≈", "1.05 ≈", "9.00"]
    first, second, third = (int(each.rstrip("%")) for each in chances(found))
    assert first > second > 20
    assert (first + second, third) == (100, 0)
    assert any("as 40 plans say that were executed on netns" in note for note in found.notes)
    assert any("90 % interval of its difference from the fastest" in note and "no win" in note for note in found.notes)


def test_a_line_that_is_faster_by_more_than_executed_plans_are_apart_has_won(known: dict[str, object]) -> None:
    found = best([row("data", 1.0, **known), row("pipeline", 2.0, **known)])
    assert [line[1] for line in found.lines] == ["1.00", "2.00"]
    assert chances(found) == ["100%", "0%"]
    assert not any("no win" in note for note in found.notes)


def test_most_samples_per_second_are_the_fastest_and_joules_have_no_chance_of_it(known: dict[str, object]) -> None:
    rows = [row(name, 1.0, samples_per_s=each, energy_j=1.0, **known) for name, each in (("data", 1.0), ("tp", 2.0))]
    assert chances(best(rows, "samples_per_s")) == ["100%", "0%"]
    assert "P(fastest)" not in best(rows, "energy_j").heads


def test_lines_of_two_settings_are_no_rivals(known: dict[str, object]) -> None:
    found = best([row("data", 1.0, **known), row("data", 1.01, bandwidth_bit_per_s=1e7, **known)])
    assert found.heads[-1] != "P(fastest)"
    assert "≈" not in " ".join(found.lines[0])


def test_a_profile_that_was_never_validated_gives_no_interval_and_says_so() -> None:
    found = best([row("data", 1.0), row("pipeline", 1.05)])
    assert "P(fastest)" not in found.heads
    assert found.notes[0].startswith("no interval: no plan was executed beside this profile")


def test_residuals_that_are_gone_are_named(known: dict[str, object]) -> None:
    Path(str(known["interval_from"])).unlink()
    found = best([row("data", 1.0, **known), row("pipeline", 1.05, **known)])
    assert any("who is the fastest is not known" in note and "study.residuals.json" in note for note in found.notes)


def test_means_over_seeds_that_differ_within_their_intervals_are_no_win() -> None:
    near = [row(name, each + s / 10, seed=s) for name, each in (("data", 1.0), ("pp", 1.01)) for s in range(3)]
    far = [row("tensor", 7.0 + s / 10, seed=s) for s in range(3)]
    found = best([*near, *far])
    assert [line[1].endswith("≈") for line in found.lines] == [True, True, False]
    assert any("no more than their t intervals over seeds" in note for note in found.notes)


def test_measured_iterations_whose_ranges_meet_are_no_win() -> None:
    times = {"data": (1.0, 0.9, 1.1), "pp": (1.05, 1.0, 1.2), "tensor": (2.0, 1.9, 2.1)}
    rows = [
        row(name, s, makespan_low_s=low, makespan_high_s=high, player="measured")
        for name, (s, low, high) in times.items()
    ]
    assert [line[1].endswith("≈") for line in best(rows).lines] == [True, True, False]


def test_in_a_table_of_methods_what_is_within_the_interval_of_the_best_is_as_bold(known: dict[str, object]) -> None:
    rows = [row("data", 1.0, **known), row("pipeline", 1.05, **known), row("tensor", 9.0, **known)]
    table = methods_table(DataFrame(rows), value="makespan_s")
    ((_, cells),) = table.rows
    assert [cell.best for cell in cells] == [True, True, False]
    assert any("in bold, too: within the 90 % interval" in line for line in table.legend)
    ((_, cells),) = methods_table(DataFrame([row("data", 1.0), row("pipeline", 1.05)]), value="makespan_s").rows
    assert [cell.best for cell in cells] == [True, False]


@pytest.mark.parametrize(
    ("column", "way"), [("planner", True), ("strategy.depth", True), ("batch_samples", False), ("devices", False)]
)
def test_how_a_model_is_shared_is_no_part_of_the_setting(column: str, way: bool) -> None:
    assert is_way(column) is way
