"""Does the demonstration's table call a way the fastest only if its measured iterations say so?"""

from rich.table import Table

from experiments.tables.comparison import ComparisonRow, comparison_markdown, comparison_table


def way(name: str, *iterations_s: float, median_s: float) -> ComparisonRow:
    return ComparisonRow(
        strategy=name,
        plan="a plan",
        simulated_s=1.0,
        measured_s=median_s,
        samples_per_s=8 / median_s,
        energy_j=1.0,
        peak_bytes=1e6,
        range_s=(min(iterations_s), max(iterations_s)) if len(iterations_s) > 1 else None,
    )


def bold(table: Table) -> list[str]:
    names = list(table.columns[0].cells)
    return [str(name) for name, each in zip(names, table.rows, strict=True) if each.style == "bold"]


def test_a_way_whose_slowest_iteration_is_faster_than_all_others_has_won() -> None:
    rows = [way("data", 2.0, 2.2, median_s=2.1), way("pipeline", 1.0, 1.2, median_s=1.1)]
    assert bold(comparison_table(rows, watts="assumed")) == ["pipeline"]
    assert "≈" not in comparison_markdown(rows)


def test_ways_whose_iterations_overlap_are_marked_and_none_is_in_bold() -> None:
    rows = [
        way("data", 1.0, 1.2, median_s=1.1),
        way("pipeline", 1.1, 1.4, median_s=1.25),
        way("hybrid", 2.0, 2.1, median_s=2.05),
    ]
    table = comparison_table(rows, watts="assumed")
    assert bold(table) == []
    assert [str(cell) for cell in table.columns[2].cells] == ["1.1 ≈", "1.25 ≈", "2.05"]
    for said in (str(table.caption), comparison_markdown(rows)):
        assert "≈: the range of its iterations meets that of the fastest of its setting: no win" in said


def test_ways_of_a_single_iteration_have_no_range_and_are_compared_by_their_seconds() -> None:
    rows = [way("data", 1.2, median_s=1.2), way("pipeline", 1.1, median_s=1.1)]
    assert bold(comparison_table(rows, watts="assumed")) == ["pipeline"]
