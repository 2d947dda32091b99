"""Do the solvers find what trying everything finds, prove what they claim, and leave nothing behind?"""

import os
import random
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pulp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesim.planners.solvers import cbc, highs
from edgesim.planners.solvers.milp import write_milp
from edgesim.planners.solvers.race import MilpResult, SolverError, SolveStatus, solve

repeatable = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SOLVERS = (("CBC",), ("HiGHS",), ("CBC", "HiGHS"))


def knapsack(values: list[int], weights: list[int], room: int) -> pulp.LpProblem:
    """The least value that is left behind; the constant is all values."""
    problem = pulp.LpProblem("knapsack", pulp.LpMinimize)
    taken = [problem.add_variable(f"taken_{i}", cat=pulp.LpBinary) for i in range(len(values))]
    problem += sum(values) - pulp.lpSum(value * x for value, x in zip(values, taken, strict=True))
    problem += pulp.lpSum(weight * x for weight, x in zip(weights, taken, strict=True)) <= room
    return problem


def assignment(costs: list[list[int]]) -> pulp.LpProblem:
    n = range(len(costs))
    problem = pulp.LpProblem("assignment", pulp.LpMinimize)
    x = problem.add_variable_dicts("x", (n, n), cat=pulp.LpBinary)
    problem += pulp.lpSum(costs[i][j] * x[i][j] for i in n for j in n)
    for i in n:
        problem += pulp.lpSum(x[i][j] for j in n) == 1
        problem += pulp.lpSum(x[j][i] for j in n) == 1
    return problem


def market_split(rows: int = 4, columns: int = 30) -> pulp.LpProblem:
    """Split customers so that every product is split evenly (Cornuéjols and Dawande, 1998): hopeless beyond a few rows.

    The slack that is missed is at least 0, and that is all that branch and bound learns for a long time.
    """
    draw = random.Random(1)
    problem = pulp.LpProblem("market_split", pulp.LpMinimize)
    x = [problem.add_variable(f"x{i}", cat=pulp.LpBinary) for i in range(columns)]
    over = [problem.add_variable(f"over{j}", lowBound=0) for j in range(rows)]
    under = [problem.add_variable(f"under{j}", lowBound=0) for j in range(rows)]
    problem += 1 + pulp.lpSum(over) + pulp.lpSum(under)
    for j in range(rows):
        sizes = [draw.randrange(100) for _ in x]
        problem += pulp.lpSum(size * x[i] for i, size in enumerate(sizes)) + over[j] - under[j] == sum(sizes) // 2
    return problem


def infeasible(gcd: int = 2) -> pulp.LpProblem:
    """An even sum is to be odd; the relaxation is feasible."""
    problem = pulp.LpProblem("parity", pulp.LpMinimize)
    x = [problem.add_variable(f"x{i}", 0, 3, pulp.LpInteger) for i in range(3)]
    problem += pulp.lpSum(x)
    problem += pulp.lpSum(gcd * v for v in x) == 7
    return problem


def children() -> set[str]:
    """Processes that this one has started and not waited for."""
    found = set[str]()
    for path in Path("/proc/self/task").glob("*/children"):
        found |= set(path.read_text().split())
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """No process, no thread and no file outlives a test of this file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, threads = children(), threading.active_count()
    yield
    assert children() <= before
    assert threading.active_count() == threads
    assert not list(tmp_path.glob("edgesim-*"))


# --- what is found ---


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
def test_a_knapsack_is_what_trying_every_choice_finds(solvers: tuple[str, ...]) -> None:
    @repeatable
    @given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 20)), min_size=1, max_size=8), st.integers(0, 60))
    def check(items: list[tuple[int, int]], room: int) -> None:
        values, weights = [value for value, _ in items], [weight for _, weight in items]
        choices = product((0, 1), repeat=len(items))
        least = min(
            sum(values) - sum(v * x for v, x in zip(values, choice, strict=True))
            for choice in choices
            if sum(w * x for w, x in zip(weights, choice, strict=True)) <= room
        )
        result = solve(knapsack(values, weights, room), time_limit_s=20, solvers=solvers)
        assert result.status is SolveStatus.OPTIMAL
        assert result.value == pytest.approx(least)
        assert result.bound == pytest.approx(least, rel=2e-6, abs=1e-9)
        assert set(result.values.values()) <= {0.0, 1.0}

    check()


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
def test_an_assignment_is_what_trying_every_permutation_finds(solvers: tuple[str, ...]) -> None:
    @repeatable
    @given(st.integers(1, 5), st.randoms(use_true_random=False))
    def check(n: int, draw: random.Random) -> None:
        costs = [[draw.randrange(1, 200) for _ in range(n)] for _ in range(n)]
        orders = sorted((sum(costs[i][j] for i, j in enumerate(order)), order) for order in permutations(range(n)))
        assume(len(orders) == 1 or orders[0][0] < orders[1][0])  # else solvers may take either
        best = orders[0][1]
        result = solve(assignment(costs), time_limit_s=20, solvers=solvers)
        assert result.status is SolveStatus.OPTIMAL
        assert {name for name, value in result.values.items() if value} == {f"x_{i}_{j}" for i, j in enumerate(best)}

    check()


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
def test_a_problem_of_continuous_variables_alone_is_proven_too(solvers: tuple[str, ...]) -> None:
    problem = pulp.LpProblem("linear", pulp.LpMinimize)
    x, y = (problem.add_variable(name, lowBound=0) for name in "xy")
    problem += 2 * x + 3 * y + 5
    problem += x + y >= 2.5
    problem += x <= 2
    result = solve(problem, time_limit_s=20, solvers=solvers)
    assert (result.status, result.value, result.bound) == (
        SolveStatus.OPTIMAL,
        pytest.approx(10.5),
        pytest.approx(10.5),
    )
    assert result.values == {"x": pytest.approx(2), "y": pytest.approx(0.5)}


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
@pytest.mark.parametrize("problem", [infeasible(), knapsack([1], [1], -1)], ids=["parity", "rows"])
def test_what_has_no_solution_is_infeasible(problem: pulp.LpProblem, solvers: tuple[str, ...]) -> None:
    result = solve(problem, time_limit_s=20, solvers=solvers)
    assert (result.status, result.value, dict(result.values)) == (SolveStatus.INFEASIBLE, None, {})


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
def test_a_wide_gap_is_enough_if_it_is_asked_for_and_the_bound_says_so(solvers: tuple[str, ...]) -> None:
    draw = random.Random(1)
    problem = pulp.LpProblem("cover", pulp.LpMinimize)
    x = [problem.add_variable(f"x{i}", 0, 3, pulp.LpInteger) for i in range(25)]
    problem += pulp.lpSum(draw.random() * v for v in x)
    for _ in range(8):
        problem += pulp.lpSum(draw.random() * v for v in x) >= 13.3
    exact = solve(problem, time_limit_s=20, solvers=solvers)
    loose = solve(problem, time_limit_s=20, gap=0.05, solvers=solvers)
    assert exact.value is not None
    assert loose.value is not None
    assert loose.bound is not None
    assert loose.bound <= exact.value <= loose.value
    assert loose.value - loose.bound <= 0.05 * loose.value * (1 + 1e-9)


# --- limits ---


@pytest.mark.parametrize("solvers", SOLVERS, ids="+".join)
def test_at_the_time_limit_the_gap_is_the_true_one_and_nothing_is_called_optimal(solvers: tuple[str, ...]) -> None:
    """The traps of status words: there is an incumbent, and the bound has not moved."""
    began_s = time.perf_counter()
    result = solve(market_split(), time_limit_s=0.7, solvers=solvers)
    assert time.perf_counter() - began_s < 3
    assert result.status is SolveStatus.FEASIBLE
    assert result.value is not None
    assert result.bound is not None
    assert result.bound == pytest.approx(1)  # nothing missed, and the constant
    assert result.value >= 2 - 1e-6
    assert result.values["x3"] in (0.0, 1.0)


def test_without_time_nothing_is_known() -> None:
    draw = random.Random(2)
    costs = [[draw.randrange(1000) for _ in range(60)] for _ in range(60)]
    problem = assignment(costs)
    for seed in range(30):  # rows that keep heuristics busy
        row = random.Random(seed)
        problem += pulp.lpSum(row.randrange(2, 100) * v for v in problem.variables()) == 2 * 1500 + 1
    result = solve(problem, time_limit_s=0.05)
    assert result.status is SolveStatus.UNKNOWN
    assert result.value is None
    assert not result.values


@pytest.mark.parametrize("solver", ["CBC", "HiGHS"])
def test_a_start_is_where_a_search_begins(solver: str) -> None:
    """Hard to find by chance: with the hint an incumbent at least as good is there at once."""
    problem = market_split(rows=3, columns=24)
    good = solve(problem, time_limit_s=0.7)
    assert good.value is not None
    start = {name: value for name, value in good.values.items() if name.startswith("x")}
    result = solve(problem, time_limit_s=0.3, start=start, solvers=(solver,))
    assert result.value is not None
    assert result.value <= good.value + 1e-6


def test_what_is_called_optimal_is_believed_no_further_than_the_bound(tmp_path: Path) -> None:
    """HiGHS 1.16 may hand a start back as optimal, beside the bound of a better solution."""
    milp = write_milp(knapsack([3, 4], [1, 1], 1), tmp_path, start={}, gap=1e-6, time_limit_s=1)
    nothing_taken = dict.fromkeys(milp.variables, 0.0)
    results = [
        milp.result(solver="any", seconds=0, proven=True, bound=bound, values=nothing_taken) for bound in (0, -4)
    ]  # the file lacks the constant, which is 7
    assert [result.status for result in results] == [SolveStatus.OPTIMAL, SolveStatus.FEASIBLE]
    assert [result.bound for result in results] == [7, 3]


def test_a_solution_without_the_value_reported_beside_it_is_sought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highs.Highs, "_is_consistent", lambda _self: False)
    start = {"taken_0": 0.0, "taken_1": 0.0, "taken_2": 0.0}
    assert_solved(solve(small(), time_limit_s=20, start=start, solvers=("HiGHS",)), "HiGHS 1.")


def test_a_start_for_unknown_variables_is_refused() -> None:
    with pytest.raises(ValueError, match="knapsack: the start names 'y'"):
        solve(knapsack([1], [1], 1), time_limit_s=1, start={"y": 1})


def test_a_maximisation_is_refused() -> None:
    with pytest.raises(ValueError, match="best: solvers are asked to minimise"):
        solve(pulp.LpProblem("best", pulp.LpMaximize), time_limit_s=1)


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown solver 'GLPK'"):
        solve(knapsack([1], [1], 1), time_limit_s=1, solvers=("GLPK",))


# --- solvers that fail ---


def script(folder: Path, text: str) -> Callable[[], str]:
    path = folder / "failing"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return lambda: str(path)


def later(finish: Callable[[Any], MilpResult], seconds: float = 0.3) -> Callable[[Any], MilpResult]:
    """So that the other one is heard first."""

    def slowly(self: Any) -> MilpResult:
        time.sleep(seconds)
        return finish(self)

    return slowly


def small() -> pulp.LpProblem:
    return knapsack([3, 4, 5], [2, 3, 4], 6)


def assert_solved(result: MilpResult, solver: str) -> None:
    assert (result.status, result.value) == (SolveStatus.OPTIMAL, 4)
    assert result.solver.startswith(solver)


def test_a_cbc_that_crashes_is_named_and_highs_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbc, "executable", script(tmp_path, "echo no memory; exit 3"))
    monkeypatch.setattr(highs.Highs, "finish", later(highs.Highs.finish))
    with pytest.warns(RuntimeWarning, match="solver CBC is left out: ended with code 3 and said last: no memory"):
        assert_solved(solve(small(), time_limit_s=20), "HiGHS 1.")


def test_a_cbc_that_is_absent_is_named_and_highs_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", "/nowhere/cbc")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.warns(RuntimeWarning, match="solver CBC is left out: there is no CBC at /nowhere/cbc"):
        assert_solved(solve(small(), time_limit_s=20), "HiGHS 1.")


def test_a_highs_that_is_absent_is_named_and_cbc_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.warns(RuntimeWarning, match="solver HiGHS is left out: import of highspy"):
        assert_solved(solve(small(), time_limit_s=20), "CBC 2.")


def test_a_highs_that_crashes_is_named_and_cbc_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_self: highs.Highs) -> MilpResult:
        raise SolverError("failed")

    monkeypatch.setattr(highs.Highs, "finish", crash)
    monkeypatch.setattr(cbc.Cbc, "finish", later(cbc.Cbc.finish))
    with pytest.warns(RuntimeWarning, match="solver HiGHS is left out: failed"):
        assert_solved(solve(small(), time_limit_s=20), "CBC 2.")


def test_without_any_solver_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbc, "executable", script(tmp_path, "exit 1"))
    with (
        pytest.warns(RuntimeWarning, match="solver CBC is left out"),
        pytest.raises(SolverError, match=r"no solver of CBC has solved it.*pip install highspy"),
    ):
        solve(small(), time_limit_s=20, solvers=("CBC",))


def test_a_cbc_that_ignores_its_limit_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbc, "executable", script(tmp_path, "exec sleep 60"))
    began_s = time.perf_counter()
    result = solve(small(), time_limit_s=0.1, solvers=("CBC",))
    assert result.status is SolveStatus.UNKNOWN
    assert time.perf_counter() - began_s < 3


@pytest.mark.parametrize("claim", ["Integer infeasible - objective value 0", "Optimal - objective value 12"])
def test_what_cbc_claims_behind_its_limit_is_no_proof(
    claim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CBC 2.10.3 calls a problem infeasible if the limit cuts its preprocessing short; in time it is believed."""
    for seconds, limit_s in ((0.2, 0.1), (0.0, 20.0)):
        # The last argument is the solution's path; taking nothing is feasible, and leaves all values behind.
        answers = f'for path; do :; done; sleep {seconds}; echo "{claim}" > "$path"'
        monkeypatch.setattr(cbc, "executable", script(tmp_path, answers))
        result = solve(small(), time_limit_s=limit_s, solvers=("CBC",))
        assert result.proves is (limit_s > seconds)
        assert result.value == (12 if claim.startswith("Optimal") else None)


def test_the_loser_is_stopped_as_soon_as_one_proves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbc, "executable", script(tmp_path, "exec sleep 60"))
    began_s = time.perf_counter()
    assert_solved(solve(small(), time_limit_s=30), "HiGHS 1.")
    assert time.perf_counter() - began_s < 3


def test_an_interrupt_leaves_nothing_running() -> None:
    """The fixture looks for processes, threads and files."""
    main = os.getpid()
    timer = threading.Timer(0.5, lambda: os.kill(main, 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        solve(market_split(), time_limit_s=30)
    timer.join()


def test_the_console_stays_empty(capfd: pytest.CaptureFixture[str]) -> None:
    solve(small(), time_limit_s=20)
    assert capfd.readouterr() == ("", "")
