"""Does the study of energy compare what is comparable, and do its cost terms have known answers?"""

from dataclasses import replace
from typing import Any

import pytest
from table_builders import made

from edgesim.cluster import PowerModel
from edgesim.energy import STATES
from edgesim.ring import ring_steps
from edgesim.zoo.bert import bert
from experiments.analysis.names import DP, EVEN, EVEN_AS_ASKED, PP, SP, TP
from experiments.configuration.command_line import composed
from experiments.configuration.setup import read_setup
from experiments.energy_study import boards, carbon
from experiments.energy_study.boards import _among, _sets, by_board, words
from experiments.energy_study.break_even import break_even_tokens
from experiments.energy_study.cells import Cell, cells
from experiments.energy_study.findings import agreement, pairs_in_order
from experiments.energy_study.fronts import Fronts, fronts_of, rows_of, summary_row
from experiments.energy_study.scaling import Point, pareto, scaled
from experiments.energy_study.settings import CLUSTERS, FRONTS, MODELS, Environment
from experiments.energy_study.summary import by_grid, deciding, idle_or_off, saved, waiting
from experiments.energy_study.watts import StateSeconds, crossing, sensitivities

about = pytest.approx
POWER = PowerModel(idle_w=2.0, compute_w=6.0, transmit_w=3.0, receive_w=2.5, source="a test")


def row(method: str, seconds: StateSeconds | None = None, **changes: Any) -> dict[str, Any]:
    """A run on two boards of POWER; without seconds it is out of memory."""
    place = {"cluster": "energy-study-gpu", "model": "m", "devices": 2, "batch_samples": 4}
    if seconds is None:
        return made(**place | {"method": method, "status": "out_of_memory", "energy_j": None} | changes)
    base_j = POWER.idle_w * (seconds.idle_w + seconds.compute_w + seconds.transmit_w + seconds.receive_w)
    states = {
        "idle_j": base_j,
        "waiting_j": 0.0,
        "compute_j": 4.0 * seconds.compute_w,
        "transmit_j": 1.0 * seconds.transmit_w,
        "receive_j": 0.5 * seconds.receive_w,
    }
    joules = sum(states.values())
    done = {"method": method, "energy_j": joules, "energy_per_sample_j": joules / 4, "utilisation": 0.4, **states}
    return made(**place | done | changes)


def busy(compute: float, message: float = 0.0, idle: float = 0.0) -> StateSeconds:
    return StateSeconds(idle_w=idle, compute_w=compute, transmit_w=message, receive_w=message)


CELL = Cell("m", "energy-study-gpu", 2, 1e8, 4)


# --- which runs are compared ---


def test_a_pipeline_in_the_workloads_micro_batches_is_another_method_than_one_in_its_own() -> None:
    own = row(EVEN, busy(1), **{"planner.micro_batch": "best"})
    asked = row(EVEN, busy(2), **{"planner.micro_batch": "workload"})
    assert set(cells([own, asked])[CELL]) == {EVEN, EVEN_AS_ASKED}


def test_studies_that_say_different_joules_of_one_run_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two runs of eco_fl of m on 2 boards .* differ: 6.0 J and 12.0 J"):
        cells([row(PP, busy(1)), row(PP, busy(2))])


# --- published findings ---


def test_every_pair_of_the_published_order_counts_and_a_method_out_of_memory_says_nothing() -> None:
    found = cells([row(DP, busy(1)), row(PP, busy(2)), row(TP, busy(3)), row(SP, busy(4))])
    assert pairs_in_order(found)["share"] == about(4 / 5)  # all but sequence before tensor
    found = cells([row(DP), row(PP, busy(2)), row(TP, busy(3)), row(SP)])
    assert (pairs_in_order(found)["cells"], pairs_in_order(found)["share"]) == (1, 1.0)


def test_what_comes_out_is_said_by_finding() -> None:
    found = cells([row(DP), row(SP), row(TP, busy(3)), row(PP, busy(1))])
    told = agreement(found, {"m on energy-study-gpu": 1.4})
    assert told["pp_runs_what_others_cannot_hold"]["share"] == 1.0
    assert told["out_of_memory_first_sp_then_tp_last_pp"]["share"] == 1.0
    assert told["collaboration_reaches_one_device"]["share"] == 1.0  # 1.5 J per sample
    assert (told["dp_below_sp"]["cells"], told["dp_below_sp"]["share"]) == (0, None)
    farther = agreement(found, {"m on energy-study-gpu": 1.3})
    assert farther["collaboration_reaches_one_device"]["share"] == 0.0
    wrong = agreement(cells([row(SP, busy(1)), row(TP), row(PP, busy(1))]), {})
    assert wrong["out_of_memory_first_sp_then_tp_last_pp"]["share"] == 0.0


def test_sequence_parallelism_sends_fewer_bytes_from_the_break_even_on_whatever_the_number_of_devices() -> None:
    model = bert(name="b", layers=3, hidden=64, heads=4, columns=256, vocabulary=900, positions=32)
    layers, hidden, numbers = 3, 64, sum(layer.parameter_bytes for layer in model.layers) / 4
    tokens = break_even_tokens(model)
    for n in (2, 5):
        gather, reduce = ring_steps(n) // 2 / n, ring_steps(n) / n
        kept = 4 * layers * hidden * tokens
        assert 4 * reduce * kept == about(4 * gather * kept + reduce * 4 * numbers)


# --- which watt decides ---


def test_seconds_by_state_come_back_from_joules_and_give_the_joules_again() -> None:
    seconds = StateSeconds(idle_w=1.0, compute_w=5.0, transmit_w=2.0, receive_w=3.0)
    made_of = row(PP, seconds)
    assert StateSeconds.of(made_of, POWER) == seconds
    watts = {name: getattr(POWER, name) for name in ("idle_w", "compute_w", "transmit_w", "receive_w")}
    assert seconds.joules(watts) == about(made_of["energy_j"])
    for name in watts:  # each is multiplied by its own seconds only
        assert seconds.joules(watts | {name: watts[name] + 1}) - seconds.joules(watts) == about(getattr(seconds, name))


def test_two_methods_cross_where_what_one_computes_longer_weighs_as_much_as_what_the_other_waits() -> None:
    waits, computes = busy(1.0, idle=4.0), busy(2.0)
    watts = {"idle_w": 2.0, "compute_w": 6.0, "transmit_w": 3.0, "receive_w": 3.0}
    assert crossing(waits, computes, watts, "idle_w") == about(0.75)  # 1.5 W x 4 s = 6 W x 1 s
    assert crossing(waits, computes, watts, "compute_w") == about(8 / 6)
    assert crossing(waits, computes, watts, "transmit_w") is None
    assert crossing(computes, computes, watts, "idle_w") is None
    assert crossing(busy(1.0, idle=0.2), computes, watts, "idle_w") is None  # at 30 W idle draws more than computing


def test_no_factor_takes_a_state_below_idle_and_the_ratio_is_one_where_it_is_said_to_turn() -> None:
    found = cells([row(SP, busy(1.0, idle=4.0)), row(TP, busy(2.0))])
    rows = list(sensitivities(found, {"energy-study-gpu": POWER}))
    idle = {each["factor"]: each["ratio"] for each in rows if each["watt"] == "idle_w"}
    assert max(idle) * POWER.idle_w <= POWER.receive_w
    assert idle[1.0] == about((6 + 8) / 12)
    assert rows[0]["flips_at"] == about(0.75)
    told = deciding(rows)["sequence_by_speed over tensor_by_speed"]
    assert told["idle_w"] == {"cells": 1, "turn": 1, "at": [about(0.75)]}
    assert told["transmit_w"]["turn"] == 0
    assert not list(sensitivities(found, {}))  # boards that differ have no one watt


# --- plans for energy beside clocks turned down ---

SMALL = Environment("resnet50", "energy_study_gpu")


@pytest.fixture(scope="module")
def small() -> Fronts:
    found = fronts_of(SMALL)
    assert isinstance(found, Fronts)
    return found


def test_every_plan_with_clocks_turned_down_is_matched_in_time_and_energy_by_a_planned_one_that_is_proven(
    small: Fronts,
) -> None:
    assert small.dominates
    assert len(small.scaled) >= 2
    assert small.gap <= 1e-6
    told = summary_row(SMALL, small)
    assert told["least_saved_at_equal_time"] >= -1e-9
    assert {each["front"] for each in rows_of(small)} == {"scaled", "planned"}


def test_a_front_that_lacks_the_thriftiest_plan_does_not_dominate(small: Fronts) -> None:
    assert not replace(small, planned=small.planned[:1]).dominates
    assert not replace(small, planned=()).dominates


def test_scaled_plans_are_the_same_stages_in_every_combination_of_modes(small: Fronts) -> None:
    problem, modes = small.setup.problem, small.setup.modes
    plan = replace(small.scaled[0].plan, stages=tuple(replace(s, modes=()) for s in small.scaled[0].plan.stages))
    points = list(scaled(problem, plan, modes))
    assert len(points) == 2 ** len(plan.stages)
    assert {tuple(s.layers for s in each.plan.stages) for each in points} == {tuple(s.layers for s in plan.stages)}
    assert max(each.seconds for each in points) > min(each.seconds for each in points)
    assert pareto([*points, points[0]]) == pareto(points)


def test_points_that_take_longer_and_no_less_energy_are_not_of_the_front(small: Fronts) -> None:
    first = small.scaled[0]
    slower = Point(plan=first.plan, seconds=first.seconds * 2, joules=first.joules)
    assert pareto([slower, first]) == [first]


def test_what_does_not_fit_is_a_row_with_its_reason_and_counts_apart(small: Fronts) -> None:
    told = summary_row(Environment("tinyllama", "energy_study_gpu"), "out of memory: 9 GB")
    assert (told["status"], told["reason"]) == ("out_of_memory", "out of memory: 9 GB")
    numbers = saved([told, summary_row(SMALL, small)])
    assert (numbers["environments"], numbers["out_of_memory"], numbers["dominates_or_equals"]) == (1, 1, 1)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_board_has_its_power_modes_in_which_its_radio_draws_as_in_its_own(cluster: str) -> None:
    environment = next(each for each in FRONTS if each.cluster == cluster)
    setup = read_setup(composed(*environment.words))
    for device in setup.cluster.devices:
        for mode in setup.modes.get(device.name, ()):
            assert mode.power.transmit_w == device.power.transmit_w
            assert mode.power.idle_w == device.power.idle_w
    assert any(setup.modes.values())


def test_fronts_are_of_every_model_and_of_every_cluster_at_several_rates_and_none_twice() -> None:
    assert {each.model for each in FRONTS} == set(MODELS)
    rates = {cluster: {each.rate for each in FRONTS if each.cluster == cluster} for cluster in CLUSTERS}
    assert all(len(of_cluster) >= 3 for of_cluster in rates.values())
    assert len(set(FRONTS)) == len(FRONTS)


@pytest.mark.parametrize("more", [{"static_w": 0.5}, {"backward_w": 8.0}])
def test_watts_that_are_of_no_state_alone_are_refused_by_the_study_of_watts(more: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a test: static_w, by_kind, backward_w and update_w are no watts of a state"):
        StateSeconds.of(row(PP, busy(1.0, idle=4.0)), replace(POWER, **more))


# --- carbon ---


def test_a_job_emits_what_its_joules_are_on_each_grid_and_one_that_failed_nothing() -> None:
    """A kilowatt-hour at 480 g is 480 g, and the order of jobs is the same on every grid."""
    job = {"model": "m", "cluster": "c", "rate": "r", "method": PP, "history": "undisturbed", "status": "done"}
    jobs = [
        job | {"energy_j": 3.6e6},
        job | {"method": DP, "energy_j": 7.2e6},
        job | {"status": "failed", "energy_j": None},
    ]
    rows = list(carbon.by_grid(jobs))
    assert len(rows) == 2 * len(carbon.grids())
    found = {(each["grid"], each["method"]): each["carbon_g"] for each in rows}
    assert found["world_2023", PP] == about(480)
    assert found["norway_2023", DP] == about(60)
    told = by_grid(rows)
    assert told["france_2023"]["fewest"] == {"grams": about(56), "of": f"m on c, r, {PP}, undisturbed"}
    assert told["france_2023"]["most"]["grams"] == about(112)


# --- boards ---


def test_joules_by_board_add_up_and_a_charge_lasts_as_long_as_its_watts_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "METHODS", (DP,))
    environment = SMALL
    rows = list(by_board([environment]))
    assert len(rows) == 4
    assert sum(each["share"] for each in rows) == about(1.0)
    for each in rows:
        states = sum(each[f"{state}_j"] for state in STATES)
        assert states == about(each["energy_j"])
        assert each["battery_h"] * each["mean_w"] == about(37.0)


def test_sets_of_boards_that_are_on_differ_in_kinds_and_those_that_are_off_draw_nothing() -> None:
    problem = read_setup(composed(*Environment("resnet50", "energy_study_mixed").plain_words)).problem
    sets = _sets(problem)
    assert len(sets) == 11  # of an NX, a TX2 and two alike
    some = _among(problem, sets[-2])
    assert len(some.cluster.devices) == len(some.cluster.network.latency_s) == 3
    told = {"model": "m", "cluster": "c", "rate": "r", "status": "done", "on": "a", "idle_boards": 0}
    rows = [
        told | {"boards": 1, "energy_per_sample_j": 1.0, "makespan_s": 9.0},
        told | {"boards": 2, "energy_per_sample_j": 2.0, "makespan_s": 5.0},
    ]
    found = idle_or_off(rows)["m on c, r"]
    assert found["thriftiest"]["energy_per_sample_j"] == 1.0
    assert found["fastest"]["makespan_s"] == found["all"]["makespan_s"] == 5.0


def test_methods_that_divide_blocks_keep_the_workloads_micro_batches() -> None:
    assert "planner.micro_batch=workload" in words(SMALL, TP)
    assert "planner.micro_batch=best" in words(SMALL, PP)


def test_what_waits_is_told_apart_from_idle_watts_while_nothing_is_computed() -> None:
    told = waiting(row(PP, busy(1.0, idle=4.0)) | {"waiting_j": 5.0, "idle_j": 5.0})
    assert told["waiting"] == about(5 / 14)
    assert told["idle_while_not_computing"] == about(10 * 0.6 / 14)
