"""Does a plan say in which power mode each rank runs, and does everything that plays it listen?"""

from dataclasses import replace
from pathlib import Path

import builders
import pytest

from edgesim.cluster import Cluster
from edgesim.errors import PlanError, ProfileError
from edgesim.plan import Plan, Stage
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import measured
from experiments.configuration.setup import prepare, read_setup

MODEL = builders.chain(2)
BOARD = builders.device("board")
LOW = replace(BOARD, name="board-low", flop_per_s=5e8)
CLUSTER = Cluster(name="2", devices=(BOARD, BOARD), network=builders.switched(2))
STUDY = ("planner=ilp_energy", "strategy=hybrid_pipeline", "model=bert_tiny_bytes", "cluster=asteroid_b")
LOW_NANO = "+device@modes.jetson-nano.low=jetson_nano_5w"


def plan(*modes: str) -> Plan:
    stages = [
        Stage(layers=(p, p + 1), ranks=(p,), samples=(1,), in_flight=1, modes=(mode,) if mode else ())
        for p, mode in enumerate(modes)
    ]
    return builders.plan_of(MODEL, stages, micro_batches=1)


def test_modes_survive_json_and_plans_without_any_do_not_speak_of_them() -> None:
    assert Plan.from_json(plan("", "board-low").to_json()) == plan("", "board-low")
    assert "modes" not in plan("", "").to_json()


def test_a_plan_names_the_ranks_that_leave_their_own_mode() -> None:
    assert plan("", "board-low").modes == {1: "board-low"}
    assert "r1:1@board-low" in str(plan("", "board-low"))


def test_the_cluster_in_a_plans_modes_has_the_named_device_there() -> None:
    there = plan("", "board-low").in_modes(CLUSTER, {"board": [LOW]})
    assert there.devices == (BOARD, LOW)
    assert plan("", "").in_modes(CLUSTER, {"board": [LOW]}) is CLUSTER


def test_a_mode_that_the_board_lacks_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"rank 1 \(board\) in mode 'board-high', known are \['board-low'\]"):
        plan("", "board-high").in_modes(CLUSTER, {"board": [LOW]})


def test_a_plan_is_checked_in_its_modes_only() -> None:
    chosen, workload = plan("", "board-low"), builders.workload()
    with pytest.raises(PlanError, match="rank 1 in mode 'board-low', the cluster has 'board' there"):
        chosen.check(MODEL, CLUSTER, workload)
    chosen.check(MODEL, chosen.in_modes(CLUSTER, {"board": [LOW]}), workload)


def test_memory_is_the_modes() -> None:
    small = replace(LOW, memory_bytes=10.0)
    chosen = plan("", "board-low")
    with pytest.raises(PlanError, match=r"rank 1 \(board-low\) needs"):
        chosen.check(MODEL, chosen.in_modes(CLUSTER, {"board": [small]}), builders.workload())


def test_a_stage_names_a_mode_for_every_rank_or_for_none() -> None:
    with pytest.raises(PlanError, match="needs a mode for each of the ranks"):
        Stage(layers=(0, 1), ranks=(0, 1), samples=(1, 1), in_flight=1, modes=("board-low",))


def test_a_command_line_names_modes_and_the_run_is_played_in_those_that_the_plan_takes() -> None:
    slow = prepare(composed(*STUDY, LOW_NANO, "+device@modes.jetson-tx2.low=jetson_tx2_maxq"))
    plain = prepare(composed(*STUDY))
    assert slow.plan.modes
    for rank, mode in slow.plan.modes.items():
        assert slow.setup.cluster.devices[rank].name == mode
    joules = [each.setup.measure(each.setup.simulate(each.schedule)).energy_j for each in (slow, plain)]
    assert joules[0] < joules[1]
    assert slow.plan.proof.value == pytest.approx(joules[0], rel=0.1)


def test_modes_of_a_device_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"modes are given for 'jetson-nano', cluster .* has"):
        read_setup(composed("cluster=demo", LOW_NANO))


def test_a_testbed_refuses_a_plan_in_other_modes() -> None:
    with pytest.raises(ValueError, match="the testbed runs devices in their own power mode, the plan runs rank"):
        prepare(composed(*STUDY, LOW_NANO, "+device@modes.jetson-tx2.low=jetson_tx2_maxq", "execute=true"))


def test_a_measured_profile_that_lacks_a_mode_refuses_it_by_name(tmp_path: Path) -> None:
    path = tmp_path / "boards.json"
    builders.constant_profile(MODEL, CLUSTER).save(path)
    asked = {"path": str(path), "model": MODEL, "cluster": CLUSTER, "workload": builders.workload()}
    assert measured(**asked).model == MODEL.name  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match="board-low"):
        measured(**asked, modes=[LOW])  # type: ignore[arg-type]
