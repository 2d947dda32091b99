"""Does every configuration file compose and build what it names?"""

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from edgesim.cluster import Cluster, Device, Grid, Origin
from edgesim.model import Model
from edgesim.workload import Workload
from experiments.compose import build, nouns
from experiments.front_door import CONF, composed
from experiments.validate import make_plan, plans_of, strategy_named
from real_runtime.data import DataSpec
from real_runtime.testbeds import TestbedSpec


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("name", names("device"))
def test_every_device_builds_and_says_where_its_numbers_come_from(name: str) -> None:
    device = build(composed(f"+device@one={name}").one)
    assert isinstance(device, Device)
    assert device.source
    assert device.power.source


@pytest.mark.parametrize("path", sorted((CONF / "device").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_of_a_device_has_its_unit_and_its_source_beside_it(path: Path) -> None:
    quantities = [line for line in path.read_text().splitlines() if "${si:" in line]
    assert quantities
    for line in quantities:
        assert "#" in line or "receive_w" in line or "raspberry" in path.stem, line


@pytest.mark.parametrize("name", names("cluster"))
def test_every_cluster_builds_and_takes_a_rate_from_the_command_line(name: str) -> None:
    cluster = nouns(composed(f"cluster={name}", "network.rate=8 Mbit/s")).cluster
    assert isinstance(cluster, Cluster)
    assert set(cluster.network.bytes_per_s[0]) == {1e6}


@pytest.mark.parametrize("name", names("model"))
def test_every_model_builds(name: str) -> None:
    model = build(composed(f"model={name}").model)
    assert isinstance(model, Model)
    assert model.parameter_bytes > 0


@pytest.mark.parametrize("name", names("workload"))
def test_every_workload_builds(name: str) -> None:
    assert isinstance(build(composed(f"workload={name}").workload), Workload)


@pytest.mark.parametrize("name", names("grid"))
def test_every_grid_builds_and_says_where_its_number_comes_from(name: str) -> None:
    grid = nouns(composed(f"grid={name}")).grid
    assert isinstance(grid, Grid)
    assert grid.source


@pytest.mark.parametrize("name", names("data"))
def test_every_data_set_builds(name: str) -> None:
    assert isinstance(build(composed(f"data={name}").data), DataSpec)


@pytest.mark.parametrize("name", names("testbed"))
def test_every_testbed_builds_and_keeps_its_name(name: str) -> None:
    spec = build(composed(f"testbed={name}").testbed)
    assert isinstance(spec, TestbedSpec)
    assert spec.kind == name


@pytest.mark.parametrize("planner", names("planner"))
@pytest.mark.parametrize("strategy", names("strategy"))
def test_every_planner_plans_for_every_strategy(planner: str, strategy: str) -> None:
    cfg = composed(f"planner={planner}", f"strategy={strategy}", "model=bert_tiny_bytes", "workload.batch_samples=8")
    words, when = nouns(cfg), build(cfg.strategy)
    plan = words.plan(build(cfg.planner), when)
    assert plan.planner == planner
    assert words.seconds(plan, when) > 0


def test_the_estimated_profile_is_marked_as_such() -> None:
    assert nouns(composed("profile=estimated")).profile.origin is Origin.ESTIMATED


def test_a_measured_profile_must_be_told_its_file() -> None:
    assert OmegaConf.missing_keys(composed("profile=measured")) == {"profile.path"}


@pytest.mark.parametrize("name", names("launcher"))
def test_every_launcher_builds(name: str) -> None:
    assert isinstance(build(composed(f"launcher={name}").launcher).shared_files, bool)


def test_a_cluster_of_equal_devices_takes_their_number() -> None:
    cluster = nouns(composed("cluster=nanos", "cluster.count=5")).cluster
    assert all(device == cluster.devices[0] for device in cluster.devices)
    assert len(cluster.devices) == cluster.network.ranks == 5
    with pytest.raises(InstantiationException, match="count must be at least 1, got 0"):
        nouns(composed("cluster=nanos", "cluster.count=0"))


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes(name: str) -> None:
    nouns(composed(f"experiment={name}"))


def test_the_validation_holds_a_dozen_plans_of_all_three_strategies() -> None:
    cfg = composed("experiment=validation")
    plans = plans_of(cfg, nouns(cfg))
    assert len(plans) >= 12
    assert {strategy for strategy, _ in plans.values()} == {"data", "pipeline", "hybrid_pipeline"}


def test_every_validation_plan_can_be_scheduled() -> None:
    cfg = composed("experiment=validation")
    words = nouns(cfg)
    for entry in cfg.validation.plans:
        assert words.seconds(make_plan(entry, words), strategy_named(entry.strategy)) > 0


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
        "profile",
        "experiment",
        "launcher",
        "grid",
    }
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == tested
