"""Does every configuration file compose and build what it names?"""

import re
from collections import Counter
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from edgesim.cluster import Cluster, Device, Grid, Origin
from edgesim.errors import MeterError, PlanError, ProfileError
from edgesim.model import Model
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.problem import Problem
from edgesim.proof import Objective
from edgesim.scenario import Jitter, Scenario, Slowdown, Walk
from edgesim.strategies import Strategy
from edgesim.units import mbit_per_s as show_mbit_per_s
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.places import CONF
from experiments.configuration.planners import ConfiguredPlanner, Plans, build_planner, declared_planners
from experiments.configuration.setup import Prepared, Setup, prepare, read_setup
from experiments.jobs.asked import job_of, read_job
from experiments.validate import make_plan, plans_of, strategy_named
from real_runtime.data import DataSpec
from real_runtime.testbeds.spec import TestbedSpec


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("name", names("device"))
def test_every_device_builds_and_says_where_its_numbers_come_from(name: str) -> None:
    device = device_named(name)
    assert device.source
    assert device.power.source


# What a number may be; an estimate is a profile's, and a mixture is no single number's.
KIND = re.compile(r"# (measured|published|datasheet|derived|assumed): \w")
WATTS = re.compile(r"^  (\w+_w): .*# (\w+): \w", re.MULTILINE)


def watts_of(name: str) -> dict[str, str]:
    """What each of a device's watts is, by its file and those that it is made from."""
    text = (CONF / "device" / f"{name}.yaml").read_text()
    base = re.search(r"defaults:\n  - (\w+)\n", text)
    return (watts_of(base[1]) if base else {}) | dict(WATTS.findall(text))


@pytest.mark.parametrize("name", [name for name in names("device") if not name.startswith("demo_")])
def test_the_documentation_says_of_each_device_which_watts_are_assumed(name: str) -> None:
    """Every watt of a model is named in a file with what it is, and docs/energy.md lists it."""
    found, power = watts_of(name), device_named(name).power
    assert {"idle_w", "compute_w", "transmit_w", "receive_w"} <= found.keys()
    assert ("static_w" in found) == (power.static_w > 0)
    kinds = [found["idle_w"], found["compute_w"], found["transmit_w"], found.get("static_w", "")]
    text = (CONF.parent / "docs" / "energy.md").read_text()
    assert f"| `{name}` | " + " | ".join(kinds) + " |\n" in text


@pytest.mark.parametrize("name", names("device"))
def test_a_mode_with_a_clock_of_its_own_has_its_own_watts_and_its_own_efficiency(name: str) -> None:
    """A file that inherits these beside another clock would have another mode's watts at its speed."""
    text = (CONF / "device" / f"{name}.yaml").read_text()
    if "\nflop_per_s:" in text:
        assert "\nefficiency:\n" in text
        assert "\n  compute_w:" in text


CLUSTER_NUMBERS = ("rate", "latency", "goodput", "count")


def test_every_kind_of_number_is_an_origin() -> None:
    kinds = set(KIND.pattern.split("(")[1].split(")")[0].split("|"))
    assert kinds == {str(origin) for origin in Origin} - {"estimated", "mixed"}


@pytest.mark.parametrize("path", sorted((CONF / "device").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_of_a_device_has_its_kind_and_its_source_beside_it(path: Path) -> None:
    number = re.compile(r"\s*\w+: (\$\{si:|\[?-?\.?\d)")
    numbers = [line for line in path.read_text().splitlines() if number.match(line)]
    assert numbers or "defaults:" in path.read_text()
    for line in numbers:
        assert KIND.search(line), line


@pytest.mark.parametrize("path", sorted((CONF / "cluster").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_of_a_cluster_has_its_kind_and_its_source_beside_it(path: Path) -> None:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in CLUSTER_NUMBERS and not value.strip().startswith("$"):
            assert KIND.search(line), line


@cache
def device_named(name: str) -> Device:
    device = build(composed(f"+device@one={name}").one)
    assert isinstance(device, Device)
    return device


@pytest.mark.parametrize("name", names("device"))
def test_a_device_is_named_like_its_file_and_says_how_efficient_it_is(name: str) -> None:
    device = device_named(name)
    assert device.name == name.replace("_", "-")
    assert any(curve.kind == "any" and curve.source for curve in device.efficiency)


@pytest.mark.parametrize("name", names("device"))
def test_a_device_draws_more_under_load_and_keeps_memory_for_its_system(name: str) -> None:
    device = device_named(name)
    assert 0 < device.power.idle_w < min(device.power.compute_w, device.power.transmit_w, device.power.receive_w)
    assert 0 < device.memory_bytes < device.installed_bytes


def test_a_device_file_that_idles_above_its_load_is_refused() -> None:
    with pytest.raises(InstantiationException, match="idle_w <= compute_w, got idle_w=7"):
        build(composed("+device@one=jetson_nano", "one.power.idle_w=7").one)


def peak_flop_per_s(text: str) -> list[float]:
    """What the comments of a device's file compute: cores x FLOP per cycle x clock, summed over ``+``."""
    gpu = [2 * int(n) * float(mhz) for n, mhz in re.findall(r"2 x (\d+) CUDA cores x ([\d.]+) MHz", text)]
    cpu = [
        int(n) * int(flop) * float(mhz)
        for n, flop, mhz in re.findall(r"(\d+) [A-Z][\w-]+ x (\d+) FLOP per cycle x ([\d.]+) MHz", text)
    ]
    return [1e6 * sum(found) for found in (gpu, cpu) if found]


@pytest.mark.parametrize("path", sorted((CONF / "device").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_peak_is_cores_times_clock_as_its_comment_says(path: Path) -> None:
    text = path.read_text()
    if "\nflop_per_s:" in text and not path.stem.startswith("demo"):
        (peak,) = peak_flop_per_s(text)
        assert device_named(path.stem).flop_per_s == pytest.approx(peak, rel=2e-3)


@pytest.mark.parametrize(
    "modes",
    [
        ["jetson_nano_5w", "jetson_nano"],
        ["jetson_nano_cpu_403mhz", "jetson_nano_cpu_825mhz", "jetson_nano_cpu_1470mhz", "jetson_nano_cpu"],
        ["jetson_nano_cpu_5w", "jetson_nano_cpu", "jetson_nano"],
        ["jetson_tx2_maxq", "jetson_tx2_maxp", "jetson_tx2"],
        ["jetson_tx2_cpu_maxq", "jetson_tx2_cpu_maxp", "jetson_tx2_cpu", "jetson_tx2"],
        ["jetson_xavier_nx_10w", "jetson_xavier_nx_15w"],
        ["jetson_xavier_nx_cpu_15w", "jetson_xavier_nx_15w"],
        ["jetson_orin_nano_7w", "jetson_orin_nano_15w", "jetson_orin_nano_25w"],
        ["jetson_orin_nano_cpu_15w", "jetson_orin_nano_15w"],
        ["raspberry_pi_4", "raspberry_pi_4_1800mhz"],
    ],
    ids=lambda modes: modes[0],
)
def test_a_faster_mode_draws_more(modes: list[str]) -> None:
    for slow, fast in pairwise(map(device_named, modes)):
        assert slow.flop_per_s < fast.flop_per_s, fast.name
        assert slow.power.compute_w < fast.power.compute_w, fast.name


def test_a_power_mode_keeps_within_its_budget() -> None:
    budgets = {name: float(watts[1]) for name in names("device") if (watts := re.search(r"_(\d+)w$", name))}
    assert len(budgets) == 10
    for name, watts in budgets.items():
        assert device_named(name).power.compute_w <= watts, name


def reached(name: str) -> float:
    device = device_named(name)
    return device.flop_per_s * device.efficiency_at("mlp", 1e9)


def test_what_the_papers_report_of_speed_comes_out_of_the_devices() -> None:
    assert reached("jetson_nano_cpu_825mhz") == pytest.approx(7e9, rel=0.01)  # Galaxy's anchor
    assert 116e9 < reached("jetson_nano") < 182e9  # PAC's range
    assert 7 < reached("jetson_nano") / reached("jetson_nano_cpu") < 15  # the GPU over its CPU
    nano, cpu = device_named("jetson_nano").power, device_named("jetson_nano_cpu").power
    assert 1.4 < nano.compute_w / cpu.compute_w < 1.5
    assert reached("raspberry_pi_4") == pytest.approx(2 * 11.9e9, rel=0.02)  # HPL, twice as fast in FP32
    assert 2 * 35e9 < reached("raspberry_pi_5") < 2 * 38e9


def test_pac_nano_is_as_fast_as_its_figures_at_the_work_they_show() -> None:
    """FLOP of Fig. 3 over seconds of Fig. 8a, full fine-tuning of 16 x 128 tokens: T5-Base, BART-Large; F, then B."""
    board = device_named("jetson_nano_pac")
    (curve,) = board.efficiency
    tflop = (0.418, 0.74, 0.838, 1.481)
    sample_s = (0.226, 0.338, 0.561 - 0.226, 0.8885 - 0.338)
    work = [_mean_block_flop(768, 3072), _mean_block_flop(1024, 4096)]
    work += [2 * flop for flop in work]
    for flop, total, seconds in zip(work, tflop, sample_s, strict=True):
        assert curve.at(flop) * board.flop_per_s == pytest.approx(total * 1e12 / (16 * seconds), rel=0.01)


def _mean_block_flop(hidden: int, columns: int) -> float:
    layer = bert(name="one", layers=1, hidden=hidden, heads=8, columns=columns, vocabulary=9, positions=128).layers[1]
    return layer.forward_flop(16, 128) / 2  # attention and MLP; the rest does no FLOP


@pytest.mark.parametrize("name", names("cluster"))
def test_every_cluster_builds_and_takes_a_rate_from_the_command_line(name: str) -> None:
    cluster = read_setup(composed(f"cluster={name}", "network.rate=8 Mbit/s")).cluster
    assert isinstance(cluster, Cluster)
    assert set(cluster.network.bytes_per_s[0]) == {1e6}


# By environment: the boards, the default rate in Mbit/s and the paper.
PUBLISHED = {
    "asteroid_a": ({"jetson-nano": 5}, 100, "2408.08015"),
    "asteroid_b": ({"jetson-tx2": 2, "jetson-nano": 3}, 100, "2408.08015"),
    "asteroid_c": ({"jetson-xavier-nx-15w": 1, "jetson-tx2": 2, "jetson-nano": 3}, 100, "2408.08015"),
    "asteroid_d": ({"jetson-tx2": 1, "jetson-nano": 3}, 100, "2408.08015"),
    "galaxy_a": ({"jetson-nano-cpu-825mhz": 2}, 125, "2405.17245"),
    "galaxy_b": ({"jetson-nano-cpu-825mhz": 3}, 125, "2405.17245"),
    "galaxy_c": ({"jetson-nano-cpu-825mhz": 4}, 125, "2405.17245"),
    "galaxy_d": ({"jetson-nano-cpu-1470mhz": 1, "jetson-nano-cpu-825mhz": 1}, 125, "2405.17245"),
    "galaxy_e": ({"jetson-nano-cpu-1470mhz": 1, "jetson-nano-cpu-403mhz": 1}, 125, "2405.17245"),
    "galaxy_f": (
        {"jetson-nano-cpu-1470mhz": 1, "jetson-nano-cpu-825mhz": 1, "jetson-nano-cpu-403mhz": 1},
        125,
        "2405.17245",
    ),
    "pac": ({"jetson-nano-pac": 8}, 1000, "2408.10746"),
    "energy_study_gpu": ({"jetson-nano": 4}, 1000, "2404.17766"),
    "energy_study_cpu": ({"jetson-nano-cpu": 4}, 1000, "2404.17766"),
    "detransformer": ({"raspberry-pi-4": 4}, 1000, "DATE 2024"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_environments_of_the_papers_are_clusters_that_say_how_sure_they_are(name: str) -> None:
    boards, mbit_per_s, paper = PUBLISHED[name]
    cluster = read_setup(composed(f"cluster={name}")).cluster
    assert Counter(device.name for device in cluster.devices) == boards
    assert show_mbit_per_s(cluster.network.slowest_bytes_per_s) == pytest.approx(mbit_per_s)
    assert cluster.name == name.replace("_", "-")
    said = (CONF / "cluster" / f"{name}.yaml").read_text().split("defaults:")[0]
    assert paper in said
    assert re.search(r"\bread\b|[Rr]ecalled|assumed", said)


# A file that has no model of its own, but the way to a user's.
OF_A_FILE = {"hugging_face": ("model.from=tests/configs/qwen3-0.6b.json",)}


@pytest.mark.parametrize("name", names("model"))
def test_every_model_builds(name: str) -> None:
    model = build(composed(f"model={name}", *OF_A_FILE.get(name, ())).model)
    assert isinstance(model, Model)
    assert model.parameter_bytes > 0


@pytest.mark.parametrize("name", names("workload"))
def test_every_workload_builds(name: str) -> None:
    assert isinstance(build(composed(f"workload={name}").workload), Workload)


@pytest.mark.parametrize("name", names("grid"))
def test_every_grid_builds_and_says_where_its_number_comes_from(name: str) -> None:
    grid = read_setup(composed(f"grid={name}")).grid
    assert isinstance(grid, Grid)
    assert grid.source


OF_A_METER = {  # what a person must say of it
    "tegrastats_log": ("meter.path=a.log",),
    "wall_csv": (
        "meter.path=a.csv",
        "meter.time_column=t",
        "meter.power_column=P",
        "meter.period_s=1 s",
        "meter.resolution_w=10 mW",
    ),
    "cpu_time": ("meter.core_w=3 W", "meter.idle_w=1 W", "meter.watts_source=a guess"),
    "replay": ("meter.path=tests/data/meters/power_recorded.csv",),
}


@pytest.mark.parametrize("name", names("meter"))
def test_every_meter_builds_and_declares_what_it_is_or_why_it_is_not_here(name: str) -> None:
    meter = build(composed(f"meter={name}", *OF_A_METER.get(name, ())).meter)
    if name != "none":
        with suppress(MeterError):  # it is not on this machine
            assert meter.facts.source


@pytest.mark.parametrize("name", names("data"))
def test_every_data_set_builds(name: str) -> None:
    assert isinstance(build(composed(f"data={name}").data), DataSpec)


@pytest.mark.parametrize("name", names("testbed"))
def test_every_testbed_builds_and_keeps_its_name(name: str) -> None:
    spec = build(composed(f"testbed={name}").testbed)
    assert isinstance(spec, TestbedSpec)
    assert spec.kind == name


@cache
def divides_blocks(strategy: str) -> bool:
    return "divides" in composed(f"strategy={strategy}")


def plans_of_strategy(strategy: str) -> Plans:
    return Plans.BLOCKS if divides_blocks(strategy) else Plans.PIPELINES


DECLARED = {declared.name: declared for declared in declared_planners()}
AFTER_A_LOSS = [name for name in DECLARED if OmegaConf.is_missing(DECLARED[name].configured, "old")]


def test_every_planner_declares_what_its_plans_are_and_where_it_comes_from() -> None:
    assert sorted(DECLARED) == names("planner")


OWN = [name for name in DECLARED if DECLARED[name].strategy and name not in AFTER_A_LOSS]
ALL_TO_ALL = [
    (name, strategy) for name in DECLARED if DECLARED[name].strategy is None for strategy in names("strategy")
]


def fits(planner: str, strategy: str) -> bool:
    return plans_of_strategy(strategy) in DECLARED[planner].plans


def in_turn(misfits: list[tuple[str, str]]) -> list[ParameterSet]:
    """Of each planner's strategies that it does not fit, one: the next one with each planner. All are soaks."""
    strategies = names("strategy")
    turns = {planner: strategies[turn % len(strategies) :] + strategies for turn, planner in enumerate(DECLARED)}
    chosen = {planner: next(s for s in turns[planner] if (planner, s) in misfits) for planner, _ in misfits}
    return [pytest.param(p, s, marks=() if chosen[p] == s else pytest.mark.soak) for p, s in misfits]


@pytest.mark.parametrize(("planner", "strategy"), [pair for pair in ALL_TO_ALL if fits(*pair)])
def test_every_planner_plans_for_every_strategy_that_divides_what_it_divides(planner: str, strategy: str) -> None:
    setup, plan_it, when = small_run(planner, strategy)
    plan = setup.plan(plan_it, when)
    assert plan.planner == planner
    assert setup.seconds(plan, when) > 0


@pytest.mark.parametrize(("planner", "strategy"), in_turn([pair for pair in ALL_TO_ALL if not fits(*pair)]))
def test_a_planner_refuses_a_strategy_that_divides_what_it_does_not(planner: str, strategy: str) -> None:
    setup, plan_it, when = small_run(planner, strategy)
    with pytest.raises(PlanError, match=r"forms no groups of ranks|neither units nor tokens"):
        setup.plan(plan_it, when)


@pytest.mark.parametrize("planner", OWN)
def test_planners_with_a_strategy_of_their_own_plan_for_it(planner: str) -> None:
    own = str(DECLARED[planner].strategy)
    assert (plans_of_strategy(own),) == DECLARED[planner].plans
    setup, plan_it, when = small_run(planner, own)
    plan = setup.plan(plan_it, when)
    assert plan.planner == planner
    assert setup.seconds(plan, when) > 0


@pytest.mark.parametrize(
    ("planner", "strategy"),
    in_turn([(planner, other) for planner in OWN for other in names("strategy") if not fits(planner, other)]),
)
def test_planners_with_a_strategy_of_their_own_plan_for_none_that_divides_otherwise(
    planner: str, strategy: str
) -> None:
    setup, plan_it, when = small_run(planner, strategy)
    with pytest.raises(PlanError):
        when(setup.plan(plan_it, when), setup.model, setup.workload)


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ("{plans: [pipelines]}", "declares its plans, as a list of pipelines, blocks, and its kind, one of ours"),
        ("{plans: [pipes], kind: ours}", "'pipes' is not a valid Plans"),
        ("{plans: [blocks], kind: mine}", "'mine' is not a valid Kind"),
        ("{plans: [blocks], kind: ours, benches: true}", "a planner declares no 'benches'"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused_with_its_file(
    tmp_path: Path, declaration: str, said: str
) -> None:
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "mine.yaml").write_text(f"_target_: mine.mine\ndeclares: {declaration}\n")
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        declared_planners([tmp_path])
    assert "mine.yaml" in str(error.value)


def test_a_planner_is_handed_what_its_file_says_whatever_its_parameters_are_called() -> None:
    """A parameter called ``evaluate`` that has a value of its own is no request for the simulator."""

    def plans_alone(problem: Problem, *, evaluate: str = "by hand", modes: object = None) -> Plan:
        assert (evaluate, modes) == ("by hand", None)
        return even(problem, groups="data", depth=Depth.GPIPE)

    setup, _, when = small_run("even", "data")
    assert setup.plan(ConfiguredPlanner(function=plans_alone), when).planner == "even"


def test_both_phases_of_fine_tuning_are_planned_together() -> None:
    cache = ("finetuning=parallel_adapters", "workload.purpose=fine_tune", "+workload.epochs=9", "+workload.cache=true")
    setup, plan_it, when = small_run("ilp_two_phases", "hybrid_pipeline", *cache)
    plan = setup.plan(plan_it, when)
    assert (plan.proof.objective, plan.proof.details) == (Objective.JOB_TIME, "9 epochs of 459 iterations")
    assert setup.seconds(plan, when) > 0


def test_after_a_loss_a_planner_is_told_of_the_plan_that_was_running(tmp_path: Path) -> None:
    setup, plan_it, when = small_run("ilp_hybrid_pipeline", "hybrid_pipeline")
    old = setup.plan(plan_it, when)
    (tmp_path / "plan.json").write_text(old.to_json())
    told = (f"planner.old={tmp_path}/plan.json", f"planner.lost=[{old.ranks[0]}]", "planner.coordinator=2")
    setup, plan_it, when = small_run("ilp_replan", "hybrid_pipeline", *told)
    plan = setup.plan(plan_it, when)
    assert old.ranks[0] not in plan.ranks
    assert setup.seconds(plan, when) > 0


def small_run(planner: str, strategy: str, *more: str) -> tuple[Setup, ConfiguredPlanner, Strategy]:
    small = ("model=bert_tiny_bytes", "model.heads=4", "workload.batch_samples=8")
    purpose = DECLARED[planner].purpose
    served = (f"workload.purpose={purpose}",) if purpose else ()
    cfg = composed(f"strategy={strategy}", f"planner={planner}", *small, *served, *more)
    return read_setup(cfg), build_planner(cfg), build(cfg.strategy)


@pytest.mark.parametrize("name", names("strategy"))
def test_a_strategy_that_divides_blocks_chooses_a_planner_that_does_unless_told_another(name: str) -> None:
    chosen = composed(f"strategy={name}").planner._target_.rpartition(".")[2]
    assert chosen == ("even_blocks" if divides_blocks(name) else "proportional")
    told = composed(f"strategy={name}", "planner=proportional_blocks").planner._target_
    assert told.endswith("proportional_blocks")


# In environment F, whose clocks are 1470, 825 and 403 MHz: 12 heads, 3072 columns and 284 tokens, even or by clock.
METHODS = {
    "megatron_tp": ("tensor", (4, 4, 4), (1024, 1024, 1024), ()),
    "sequence_parallel": ("sequence", (), (), (95, 95, 94)),
    "tensor_by_speed": ("tensor", (6, 4, 2), (1674, 939, 459), ()),
    "sequence_by_speed": ("sequence", (), (), (154, 87, 43)),
    "galaxy": ("hybrid_model", (6, 4, 2), (1674, 939, 459), (95, 95, 94)),
    "galaxy_without_overlap": ("hybrid_model", (6, 4, 2), (1674, 939, 459), (95, 95, 94)),
    "local": ("tensor", (12,), (3072,), ()),
}


@cache
def prepared_method(name: str, *more: str) -> Prepared:
    return prepare(composed(f"method={name}", "model=distilbert", "cluster=galaxy_f", "workload=request", *more))


# Methods that divide samples and layers: their strategy and their planner.
PIPELINES = {
    "pipedream": ("hybrid_pipeline", "pipedream"),
    "dapple": ("hybrid_pipeline", "dapple"),
    "hetpipe": ("parameter_server", "hetpipe"),
    "eco_fl": ("pipeline", "eco_fl"),
    "pac": ("hybrid_pipeline", "pac"),
    "gpipe": ("pipeline", "gpipe"),
    "asteroid": ("hybrid_pipeline", "asteroid"),
    "pipeedge": ("pipeline", "pipeedge"),
    "exo": ("pipeline", "exo"),
    "eddl_even": ("data", "eddl"),
    "eddl_proportional": ("data", "eddl"),
    "ddp": ("data", "eddl"),
    "prima": ("pipeline", "prima"),
    "one_device": ("pipeline", "exhaustive"),
    "data_parallel": ("data", "exhaustive"),
    "pipeline_exhaustive": ("pipeline", "exhaustive"),
    "pipeline_ilp": ("pipeline", "ilp_hybrid_pipeline"),
    "hybrid_parallel": ("hybrid_pipeline", "simulate_and_choose"),
}


def test_no_method_is_missing_from_these_tests() -> None:
    assert sorted([*METHODS, *PIPELINES]) == names("method")


@pytest.mark.parametrize("name", PIPELINES)
def test_every_method_of_pipelines_is_a_planner_and_a_strategy_and_trains_or_serves(name: str) -> None:
    served = ("workload=request", "workload.tokens=32") if name == "prima" else ()
    cfg = composed(f"method={name}", *served)
    prepared = prepare(cfg)
    assert cfg.method == name
    assert (cfg.strategy._target_.rpartition(".")[2], prepared.plan.planner) == PIPELINES[name]
    assert prepared.setup.simulate(prepared.schedule).makespan_s > 0


def test_the_best_of_each_way_to_share_holds_to_what_its_name_says() -> None:
    """On three devices: one, all with one stage, and stages of one device each; the hybrid is no slower than any."""
    plans = {
        name: prepare(composed(f"method={name}", "network.rate=1000 Mbit/s"))
        for name in ("one_device", "data_parallel", "pipeline_exhaustive", "pipeline_ilp", "hybrid_parallel")
    }
    ranks = {name: [len(stage.ranks) for stage in each.plan.stages] for name, each in plans.items()}
    assert ranks["one_device"] == [1]
    assert ranks["data_parallel"] == [3]
    for name in ("pipeline_exhaustive", "pipeline_ilp"):
        assert set(ranks[name]) == {1}
        in_flight = [stage.in_flight for stage in plans[name].plan.stages]
        assert in_flight == list(range(len(in_flight), 0, -1))  # 1F1B
    seconds = {name: each.setup.simulate(each.schedule).makespan_s for name, each in plans.items()}
    assert min(seconds, key=seconds.__getitem__) == "hybrid_parallel"


def test_eddl_has_a_method_for_each_way_to_share() -> None:
    even, by_speed = (prepare(composed(f"method=eddl_{way}")).plan.stages[0] for way in ("even", "proportional"))
    assert even.samples == (3, 3, 2)
    assert by_speed.samples[0] > by_speed.samples[2]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_blocks_is_a_planner_and_a_strategy_and_serves_a_request(name: str) -> None:
    cfg = composed(f"method={name}")
    prepared = prepared_method(name)
    (stage,) = prepared.plan.stages
    strategy, heads, columns, tokens = METHODS[name]
    assert (cfg.method, cfg.strategy._target_.rpartition(".")[2]) == (name, strategy)
    assert (stage.heads, stage.tokens) == (heads, tokens)
    assert stage.columns == pytest.approx(columns, abs=4)  # memory is as fast at every clock
    assert prepared.setup.simulate(prepared.schedule).makespan_s > 0


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_blocks_writes_an_answer_token_by_token(name: str) -> None:
    few, more = (
        prepared_method(name, "workload=generate", "model=gpt2_large", f"workload.new_tokens={count}", BIG)
        for count in (2, 4)
    )
    seconds = [prepared.setup.simulate(prepared.schedule).makespan_s for prepared in (few, more)]
    assert 0 < seconds[0] < seconds[1]


@pytest.mark.parametrize("purpose", ["train", "infer"])
@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet50", "efficientnet_b1"])
def test_one_device_alone_computes_cnns_too_as_fast_as_one_that_is_sought(model: str, purpose: str) -> None:
    asked = (f"model={model}", "workload=images", "cluster=asteroid_d", f"workload.purpose={purpose}")
    alone, sought = (prepare(composed(f"method={name}", *asked)) for name in ("local", "one_device"))
    assert alone.plan.ranks == (0,)
    assert alone.plan.stages == sought.plan.stages
    assert alone.schedule == sought.schedule


BIG = "cluster=detransformer"  # whose devices have memory for a model of 774 M parameters each


def test_only_the_overlap_tells_galaxy_from_itself_without_it() -> None:
    with_overlap, without = (prepared_method(name) for name in ("galaxy", "galaxy_without_overlap"))
    assert with_overlap.plan == without.plan
    slower = [prepared.setup.simulate(prepared.schedule).makespan_s for prepared in (with_overlap, without)]
    assert slower[0] < slower[1]


def test_the_estimated_profile_is_marked_as_such() -> None:
    assert read_setup(composed("profile=estimated")).profile.origin is Origin.ESTIMATED


def test_a_measured_profile_must_be_told_its_file() -> None:
    assert OmegaConf.missing_keys(composed("profile=measured")) == {"profile.path"}


@pytest.mark.parametrize("name", names("finetuning"))
def test_every_technique_builds_and_names_what_it_made(name: str) -> None:
    model = read_setup(composed(f"finetuning={name}")).model
    made = {"full": "", "full_exchanged": "", "houlsby": "+adapters"}
    assert model.name == "bert-small-bytes" + made.get(name, f"+{name}")


KEPT = "profile.path=results/profiles/netns_100mbit.profile.json"


def test_a_mixed_profile_must_be_told_its_file_and_what_is_estimated() -> None:
    assert OmegaConf.missing_keys(composed("profile=mixed")) == {"profile.path", "profile.estimate"}


def test_a_mixed_profile_measures_some_devices_and_estimates_those_that_are_named() -> None:
    mixed = read_setup(composed("profile=mixed", KEPT, "profile.estimate=[demo-slow]")).profile
    parts = [read_setup(composed("profile=measured", KEPT)).profile, read_setup(composed("profile=estimated")).profile]
    assert mixed.origin is Origin.MIXED
    for profile, devices in zip(parts, ({"demo-fast", "demo-medium"}, {"demo-slow"}), strict=True):
        own = {point for point in profile.points if point.device in devices}
        assert own == {point for point in mixed.points if point.device in devices}
    assert re.fullmatch(
        r"measured \(netns, 5 repeats, leave-one-out error [\d.]+%\) for demo-fast, demo-medium; "
        r"estimated \(FLOPs and bytes on demo-slow\) for demo-slow",
        mixed.source,
    )


@pytest.mark.parametrize("named", ["[]", "[demo-sloe]", "[demo-fast,demo-medium,demo-slow]"])
def test_a_mixture_of_nothing_or_of_strangers_is_refused(named: str) -> None:
    with pytest.raises(ProfileError, match=r"must name some, not all, of demo-fast, demo-medium, demo-slow, got \["):
        read_setup(composed("profile=mixed", KEPT, f"profile.estimate={named}"))


def test_a_measured_profile_is_never_filled_with_estimates_unasked() -> None:
    with pytest.raises(ProfileError, match=r"asked for \['jetson-nano'.*\(calibrate these, or say profile=mixed"):
        read_setup(composed("profile=measured", KEPT, "cluster=tx2_nano_pi"))
    with pytest.raises(ProfileError, match=r"measured for tokens \[32\], asked for 64"):
        read_setup(composed("profile=measured", KEPT, "workload.tokens=64"))


@pytest.mark.parametrize("name", names("launcher"))
def test_every_launcher_builds(name: str) -> None:
    assert isinstance(build(composed(f"launcher={name}").launcher).shared_files, bool)


def test_a_cluster_of_equal_devices_takes_their_number() -> None:
    cluster = read_setup(composed("cluster=nanos", "cluster.count=5")).cluster
    assert all(device == cluster.devices[0] for device in cluster.devices)
    assert len(cluster.devices) == cluster.network.ranks == 5
    with pytest.raises(ValueError, match=r"cluster.count: expected a whole number of at least 1, .*got 0"):
        read_setup(composed("cluster=nanos", "cluster.count=0"))


@cache
def prepared_scenario(name: str) -> Prepared:
    return prepare(composed(f"scenario={name}"))


@pytest.mark.parametrize("name", names("scenario"))
def test_every_scenario_builds_and_changes_what_it_should(name: str) -> None:
    plain, changed = (prepared_scenario(wanted) for wanted in ("none", name))
    scenario = changed.setup.scenario
    assert isinstance(scenario, Scenario)
    assert all(event.source for event in scenario.events if event not in scenario.membership)
    if scenario.membership:
        with pytest.raises(ValueError, match="only a job can go on after that"):
            changed.setup.simulate(changed.schedule)
        return
    traces = [prepared.setup.simulate(prepared.schedule).to_lines() for prepared in (plain, changed)]
    assert (traces[0] == traces[1]) == (name == "none")


def test_scenarios_combine_and_an_override_names_a_value_of_an_event() -> None:
    words = ("scenario=[wifi_walk,jitter,throttled]", "scenario.events.walk.together=true", "scenario.seed=3")
    scenario = read_setup(composed(*words)).scenario
    assert [type(event) for event in scenario.events] == [Walk, Jitter, Slowdown]
    assert scenario.seed == 3
    assert scenario.events[0].together


@pytest.mark.parametrize("name", names("job"))
@pytest.mark.parametrize("recovery", names("job/recovery"))
def test_every_job_and_every_recovery_builds(name: str, recovery: str) -> None:
    """One with a cache goes on after losses where it keeps none."""
    cache = f"workload.cache={str(recovery == 'none').lower()}"
    more = ("finetuning=parallel_adapters", cache) if name == "pac" else ()
    cfg = composed(f"+job={name}", f"job/recovery={recovery}", *more)
    job = job_of(cfg, read_job(cfg), prepare(cfg))
    assert (job.recover is None) == (recovery == "none")
    assert job.members == (0, 1, 2)


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes(name: str) -> None:
    read_setup(composed(f"experiment={name}"))


def test_the_validation_holds_a_dozen_plans_of_all_three_strategies() -> None:
    cfg = composed("experiment=validation")
    plans = plans_of(cfg, read_setup(cfg))
    assert len(plans) >= 12
    assert {strategy for strategy, _ in plans.values()} == {"data", "pipeline", "hybrid_pipeline"}


def test_a_validations_planner_that_needs_more_is_named() -> None:
    cfg = composed("experiment=validation")
    entry = {"name": "EDDL", "planner": {"_target_": "edgesim.planners.literature.eddl.eddl", "_partial_": True}}
    with pytest.raises(ValueError, match=r"planner\._target_ cannot be called with problem: missing .* 'shares'"):
        make_plan(entry, read_setup(cfg))


def test_every_validation_plan_can_be_scheduled() -> None:
    cfg = composed("experiment=validation")
    setup = read_setup(cfg)
    for entry in cfg.validation.plans:
        assert setup.seconds(make_plan(entry, setup), strategy_named(entry.strategy)) > 0


def test_only_strategies_are_known_by_their_names_and_not_what_they_share() -> None:
    for path in (CONF / "strategy").glob("*.yaml"):
        assert callable(strategy_named(path.stem))
    for shared in ("orders", "block_programs", "divide_blocks"):
        with pytest.raises(ValueError, match="unknown strategy"):
            strategy_named(shared)


def test_no_group_is_missing_from_these_tests() -> None:
    tested = {
        "device",
        "cluster",
        "model",
        "workload",
        "data",
        "testbed",
        "planner",
        "strategy",
        "method",
        "profile",
        "experiment",
        "launcher",
        "finetuning",
        "scenario",
        "grid",
        "job",
        "meter",
    }
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == tested
