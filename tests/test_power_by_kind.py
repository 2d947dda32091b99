"""What kinds of blocks draw has an answer in closed form: in traces, in closed forms and in planners."""

from dataclasses import replace
from itertools import pairwise

import builders
import pytest
from test_ilp_energy import a_case, every_plan

from edgesim.cluster import Cluster, ComputeWatts, Device, EfficiencyCurve, PowerModel
from edgesim.computing_power import ComputingPower
from edgesim.energy import energy_by_state_j, power_over_time
from edgesim.metered import TrueWatts
from edgesim.metrics import measure
from edgesim.model import Block, BlockKind, Layer, Model
from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_energy import above_idle_j, iteration_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.exact.energy.few_boards import least_computing_j
from edgesim.planners.exact.energy.ilp_energy import ilp_energy
from edgesim.planners.exact.energy.power_modes import in_all_modes
from edgesim.planners.problem import Problem
from edgesim.schedule import Op
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace

# Above idle, which is 1 W: half a watt per tenth of the peak on matrices, and a flat 4 W on attention.
MLP = ComputeWatts(kind="mlp", watts=6.0, stalled_w=2.0, at_fraction=0.8, source="test")
ATTENTION = ComputeWatts(kind="attention", watts=5.0, source="test")


def of_kinds(**flop: float) -> tuple[Block, ...]:
    """A block of each kind, with its forward FLOP; backward passes have twice as many."""
    return tuple(replace(builders.block(kind, flop=amount), kind=BlockKind(kind)) for kind, amount in flop.items())


def model_of(*layers: tuple[Block, ...]) -> Model:
    numbered = tuple(Layer(name=f"l{number}", blocks=blocks) for number, blocks in enumerate(layers))
    return Model(name=f"chain{len(layers)}", architecture="chain", hyper={}, layers=numbered)


def board(*kinds: ComputeWatts, name: str = "board", **more: float) -> Device:
    return builders.device(name, power=replace(builders.power(**more), by_kind=kinds))


def alone(device: Device, model: Model, *, forward_s: float = 1.0, backward_s: float = 3.0) -> Trace:
    """One device computes layer 0 forward and backward, and updates it for half a second."""
    cluster = Cluster(name="one", devices=(device,), network=builders.switched(1))
    schedule = builders.schedule_of(
        [builders.compute(Op.F, 0), builders.compute(Op.B, 0), builders.compute(Op.UPDATE, 0, None)]
    )
    profile = builders.constant_profile(model, cluster, forward_s=forward_s, backward_s=backward_s, update_s=0.5)
    return simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1)


def compute_j(device: Device, model: Model, **seconds: float) -> float:
    """Joules of computing, which power over time agrees with."""
    trace = alone(device, model, **seconds)
    cluster = Cluster(name="one", devices=(device,), network=builders.switched(1))
    found = measure(trace, cluster=cluster, model=model, workload=builders.workload())
    steps = pairwise(power_over_time(trace, cluster, 0, ComputingPower(cluster.devices, model, 1)))
    assert sum(watts * (end_s - start_s) for (start_s, watts), (end_s, _) in steps) == pytest.approx(found.energy_j)
    return found.energy_by_state_j[0]["compute"]


UPDATE_J = (5 - 1) * 0.5  # which draws compute_w, 5 W


@pytest.mark.parametrize("reached", [0.1, 0.4, 0.8, 1.0])
def test_a_block_draws_more_the_more_of_the_peak_it_reaches(reached: float) -> None:
    """A second forward, and three backward with twice the FLOP: of a peak of 1 GFLOP/s."""
    model = model_of(of_kinds(mlp=reached * 1e9))
    forward_w, backward_w = (2 + 4 * share / 0.8 - 1 for share in (reached, 2 / 3 * reached))
    assert compute_j(board(MLP), model) == pytest.approx(forward_w * 1 + backward_w * 3 + UPDATE_J)


def test_without_a_stalled_watt_a_kind_draws_the_same_whatever_it_reaches() -> None:
    for flop in (1e6, 1e9):
        assert compute_j(board(ATTENTION), model_of(of_kinds(attention=flop))) == pytest.approx(4 * 4 + UPDATE_J)


def test_a_pass_over_several_kinds_shares_its_seconds_out_as_they_are_estimated() -> None:
    """Three quarters of the estimated seconds are element-wise, though they are a tenth of the FLOP."""
    device = replace(
        board(replace(ATTENTION, watts=3.0), ComputeWatts(kind="connective", watts=7.0, source="test")),
        efficiency=(
            EfficiencyCurve(kind="connective", work_flop=(1.0,), fraction=(1 / 27,), source="test"),
            EfficiencyCurve(kind="any", work_flop=(1.0,), fraction=(1.0,), source="test"),
        ),
    )
    above_w = 0.25 * (3 - 1) + 0.75 * (7 - 1)
    model = model_of(of_kinds(attention=9e6, connective=1e6))
    assert compute_j(device, model) == pytest.approx(above_w * 4 + UPDATE_J)


@pytest.mark.parametrize(
    ("kinds", "above_w"), [((ATTENTION,), 5 - 1), ((replace(MLP, kind="any", stalled_w=None),), 6 - 1)]
)
def test_a_kind_that_is_not_named_draws_what_any_does_or_compute_w(
    kinds: tuple[ComputeWatts, ...], above_w: float
) -> None:
    assert compute_j(board(*kinds), model_of(of_kinds(conv=1e6))) == pytest.approx(above_w * 4 + UPDATE_J)


def test_kinds_that_draw_what_compute_w_says_change_no_joule() -> None:
    model = model_of(of_kinds(mlp=1e8, attention=1e7))
    plain = compute_j(board(), model)
    assert compute_j(board(replace(MLP, watts=5.0, stalled_w=None), ATTENTION), model) == pytest.approx(plain)


def test_a_slower_clock_with_the_same_joules_per_flop_takes_them_in_any_time() -> None:
    """All watts above idle are of FLOP: a task takes as many joules however long it lasts."""
    device = board(ComputeWatts(kind="mlp", watts=9.0, stalled_w=1.0, source="test"), update_w=1.0)
    model = model_of(of_kinds(mlp=1e8))
    for seconds in (1.0, 2.0):
        found = compute_j(device, model, forward_s=seconds, backward_s=seconds)
        assert found == pytest.approx((1e8 + 2e8) * (9 - 1) / 1e9)


# --- closed forms and planners ---


def pipeline(recompute: bool = False) -> tuple[Problem, Plan]:
    """Two boards with layers of different kinds; a third has no work."""
    model = model_of(*(of_kinds(mlp=3e6, attention=1e6 * (1 + number)) for number in range(4)))
    cluster = Cluster(
        name="3", devices=(board(MLP, ATTENTION, static_w=0.5),) * 3, network=builders.switched(3, bytes_per_s=1e6)
    )
    problem = Problem(
        model=model,
        cluster=cluster,
        profile=builders.constant_profile(model, cluster, update_s=0.001),
        workload=builders.workload(micro_batches=4, micro_batch_samples=2),
    )
    plan = builders.hybrid_plan(model, [[2], [2]], micro_batches=4)
    return problem, replace(plan, stages=tuple(replace(stage, recompute=recompute) for stage in plan.stages))


@pytest.mark.parametrize("recompute", [False, True])
def test_the_closed_form_of_a_pipeline_says_what_its_trace_says(recompute: bool) -> None:
    problem, plan = pipeline(recompute)
    schedule = hybrid_pipeline(plan, problem.model, problem.workload)
    trace = simulate(
        schedule, cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=problem.workload.tokens
    )
    found = measure(trace, cluster=problem.cluster, model=problem.model, workload=problem.workload)
    above_j = {
        rank: sum(states[state] for state in ("compute", "transmit", "receive"))
        for rank, states in enumerate(found.energy_by_state_j)
    }
    assert above_idle_j(StageCosts(problem), plan) == pytest.approx({rank: above_j[rank] for rank in plan.ranks})
    assert found.energy_by_state_j[2]["static"] == pytest.approx(0.5 * trace.makespan_s)
    # By hand: computing of the first stage, which is layer 0, two samples at a time.
    forward_s, backward_s = 0.010, 0.020
    passes = 2 if recompute else 1
    stalled_j = (2 - 1) * 0.75 + (5 - 1) * 0.25
    flop = 4 * 2 * 3e6 * (passes + 2)
    computing_j = stalled_j * 4 * (passes * forward_s + backward_s) + flop * 4 / 0.8e9 + (5 - 1) * 0.001
    assert found.energy_by_state_j[0]["compute"] == pytest.approx(computing_j)


def test_what_boards_always_draw_counts_as_long_as_they_are_switched_on() -> None:
    problem, plan = pipeline()
    without = replace(
        problem,
        cluster=replace(
            problem.cluster,
            devices=tuple(replace(each, power=replace(each.power, static_w=0.0)) for each in problem.cluster.devices),
        ),
    )
    for idle_devices, boards in ((True, 3), (False, 2)):
        more_j = iteration_j(problem, plan, idle_devices=idle_devices) - iteration_j(
            without, plan, idle_devices=idle_devices
        )
        assert more_j == pytest.approx(boards * 0.5 * iteration_s(problem, plan))


def by_kind(seed: int) -> tuple[Problem, dict[str, list[Device]]]:
    """A case of unlike boards with modes, whose layers are of two kinds, and boards that always draw something."""
    problem, modes = a_case(seed, layers=3, devices=3)
    layers = [of_kinds(mlp=2e6 * (1 + number), attention=1e6) for number in range(3)]

    def drawing(device: Device) -> Device:
        low_w, high_w = device.power.idle_w, device.power.compute_w
        kinds = (
            ComputeWatts(kind="mlp", watts=high_w, stalled_w=low_w + 0.2 * (high_w - low_w), source="test"),
            ComputeWatts(kind="attention", watts=high_w + 2, source="test"),
        )
        return replace(device, power=replace(device.power, by_kind=kinds, static_w=0.3))

    cluster = replace(problem.cluster, devices=tuple(map(drawing, problem.cluster.devices)))
    model = replace(model_of(*layers), name=problem.model.name)
    same = {name: [drawing(mode) for mode in others] for name, others in modes.items()}
    return replace(problem, cluster=cluster, model=model), same


@pytest.mark.parametrize("idle_devices", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_planner_of_energy_equals_trying_every_plan(seed: int, idle_devices: bool) -> None:
    problem, modes = by_kind(seed)
    plan = ilp_energy(problem, modes=modes, replicas=2, idle_devices=idle_devices)
    every = [
        iteration_j(there, other, idle_devices=idle_devices) for there, other in every_plan(problem, modes, replicas=2)
    ]
    assert plan.proof is not None
    assert plan.proof.value == pytest.approx(min(every), rel=1e-4)
    there = replace(problem, cluster=plan.in_modes(problem.cluster, modes))
    assert plan.proof.value == pytest.approx(iteration_j(there, plan, idle_devices=idle_devices))


@pytest.mark.parametrize("seed", range(4))
def test_no_plan_computes_for_less_than_the_bound_of_few_boards(seed: int) -> None:
    problem, modes = by_kind(seed)
    expansion = in_all_modes(problem, modes)
    least_j = least_computing_j(expansion, StageCosts(expansion.expanded))
    assert least_j > 0

    def computing_j(there: Problem, plan: Plan) -> float:
        quiet = [replace(each, power=wireless(each.power)) for each in there.cluster.devices]
        return iteration_j(replace(there, cluster=replace(there.cluster, devices=tuple(quiet))), plan)

    assert all(
        computing_j(there, plan) >= least_j * (1 - 1e-9) for there, plan in every_plan(problem, modes, replicas=2)
    )


def wireless(power: PowerModel) -> PowerModel:
    """The same computing above idle, and nothing else."""
    kinds = tuple(
        replace(
            each,
            watts=each.watts - power.idle_w,
            stalled_w=None if each.stalled_w is None else each.stalled_w - power.idle_w,
        )
        for each in power.by_kind
    )
    return PowerModel(
        idle_w=0.0,
        compute_w=power.compute_w - power.idle_w,
        transmit_w=0.0,
        receive_w=0.0,
        by_kind=kinds,
        source="test",
    )


# --- what is refused ---


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"by_kind": (MLP,), "backward_w": 5.0}, "backward_w=5.0 and by_kind both say what backward passes draw"),
        ({"by_kind": (MLP, MLP)}, "by_kind names 'mlp' twice"),
        ({"by_kind": (replace(MLP, stalled_w=0.5),)}, "mlp draws 0.5 W at least, which is below idle_w=1"),
        ({"static_w": -0.1}, "static_w must be finite and >= 0, got -0.1"),
    ],
)
def test_watts_that_contradict_each_other_are_refused_by_name(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(builders.power(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stalled_w": 7.0}, "watts of mlp: need 0 <= stalled_w <= watts, got stalled_w=7.0, watts=6.0"),
        ({"at_fraction": 1.5}, r"watts of mlp: at_fraction is a share of flop_per_s in \(0, 1\], got 1.5"),
    ],
)
def test_a_kind_s_watts_that_make_no_sense_are_refused_by_name(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(MLP, **wrong)  # type: ignore[arg-type]


def test_a_kind_of_block_that_there_is_not_is_refused_and_those_there_are_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"board: watts of 'convolution', which is no kind of block \(try embedding, .*conv"
    ):
        ComputingPower([board(replace(MLP, kind="convolution"))], model_of(of_kinds(mlp=1.0)), 1)


def test_a_synthetic_meter_refuses_kinds_by_name_and_reads_each_pass_and_the_board_around_the_module() -> None:
    with pytest.raises(ValueError, match=r"synthetic meter: watts by kind of block \(mlp\) cannot be read"):
        TrueWatts.of(board(MLP).power)
    found = TrueWatts.of(builders.power(backward_w=7.0, update_w=3.0, static_w=0.5))
    assert found.idle_w == 1.5
    assert [found.above_w[f"compute {op}"] for op in (Op.F, Op.RECOMPUTE, Op.B, Op.UPDATE)] == [4, 4, 6, 2]


def test_joules_of_kinds_are_refused_where_no_model_is_known() -> None:
    device = board(MLP)
    trace = alone(device, model_of(of_kinds(mlp=1e6)))
    with pytest.raises(ValueError, match=r"by_kind.*give computing"):
        energy_by_state_j(trace.of_rank(0), device.power, trace.makespan_s, last_s=trace.last_s)
