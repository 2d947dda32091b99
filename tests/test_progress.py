"""Does a long run say how far it is, also where its output is a file?"""

from io import StringIO

from rich.console import Console

from experiments.progress import ProgressReport


def lines_of(interval_s: float, steps: int) -> list[str]:
    """What stands in the file after so many steps of ten."""
    file = StringIO()
    with ProgressReport(console=Console(file=file), interval_s=interval_s) as report:
        task = report.add_task("runs", total=10)
        for _ in range(steps):
            report.update(task, advance=1, said="1 failed")
    return file.getvalue().splitlines()


def test_a_file_gets_a_line_when_a_run_begins_and_one_when_nothing_is_left() -> None:
    first, last = lines_of(interval_s=1000, steps=10)
    assert first.startswith("runs: 0 of 10 (")
    assert last.startswith("runs: 10 of 10 (1 failed, ")


def test_a_file_gets_a_line_now_and_then_with_what_is_left() -> None:
    lines = lines_of(interval_s=0, steps=4)
    assert [line.partition(" (")[0] for line in lines] == [f"runs: {i} of 10" for i in range(5)]
    assert " left)" in lines[-1]


def test_not_every_step_is_a_line() -> None:
    assert len(lines_of(interval_s=1000, steps=9)) == 1


def test_a_terminal_gets_the_bar_and_no_lines() -> None:
    file = StringIO()
    with ProgressReport(console=Console(file=file, force_terminal=True), interval_s=0) as report:
        report.advance(report.add_task("runs", total=2))
    assert "runs: 0 of 2" not in file.getvalue()
    assert "1/2" in file.getvalue()
