"""Does a sweep hold the runs it says, each composed as Hydra would and known by what matters?"""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.configuration.command_line import composed
from experiments.sweeps.grid import Composer, flat, parse
from experiments.sweeps.run_key import key

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")


def config(*overrides: str) -> dict:
    return Composer(parse(TINY))(overrides)


def test_a_sweep_is_the_product_of_its_overrides_the_last_fastest() -> None:
    sweep = parse([*TINY, "strategy=data,pipeline", "network.rate=20 Mbit/s,100 Mbit/s"])
    assert sweep.fixed == TINY
    assert sweep.runs == (
        ("strategy=data", "network.rate=20 Mbit/s"),
        ("strategy=data", "network.rate=100 Mbit/s"),
        ("strategy=pipeline", "network.rate=20 Mbit/s"),
        ("strategy=pipeline", "network.rate=100 Mbit/s"),
    )


def test_without_a_sweep_there_is_one_run() -> None:
    assert parse(TINY).runs == ((),)


def test_ranges_and_lists_are_swept_as_hydra_reads_them() -> None:
    sweep = parse([*TINY, "seed=range(0,3)", "groups=[[0],[1,2]],[[0,1],[2]]"])
    assert len(sweep.runs) == 6
    assert sweep.runs[1] == ("seed=0", "groups=[[0,1],[2]]")


def study(tmp_path: Path, over: dict) -> list[str]:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\n" + OmegaConf.to_yaml(OmegaConf.create({"study": {"name": "mine", "over": over}}))
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    return ["experiment=mine"]


def test_a_study_file_holds_its_own_dimensions_and_names_may_move_together(tmp_path: Path) -> None:
    words = study(tmp_path, {"seed": [1, 2], "model+workload": [["bert_small", "text"], ["mobilenet_v2", "images"]]})
    runs = parse(words, [str(tmp_path)]).runs
    assert len(runs) == 4
    assert runs[1] == ("seed=1", "model=mobilenet_v2", "workload=images")


def test_the_command_line_takes_the_place_of_a_studys_dimension(tmp_path: Path) -> None:
    words = study(tmp_path, {"seed": [1, 2], "strategy": ["data", "pipeline"]})
    assert parse([*words, "seed=7"], [str(tmp_path)]).runs == (("strategy=data",), ("strategy=pipeline",))
    assert parse([*words, "seed=7,8", "strategy=data"], [str(tmp_path)]).runs == (("seed=7",), ("seed=8",))


def test_names_that_move_together_need_as_many_values(tmp_path: Path) -> None:
    words = study(tmp_path, {"model+workload": [["bert_small"]]})
    with pytest.raises(ValueError, match=r"'model\+workload' needs lists of 2 values, got \['bert_small'\]"):
        parse(words, [str(tmp_path)])


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("network.rate=20 Mbit/s",),
        ("strategy=data", "network.rate=20 Mbit/s", "workload.tokens=16"),
        ("network.rate=20 Mbit/s", "cluster=nanos", "cluster.count=2"),
        ("groups=[[0],[1,2]]", "strategy=hybrid_pipeline", "depth=gpipe"),
        ("network.calibrated=results/profiles/netns_100mbit.network.json",),
        ("devices.slow.flop_per_s=1e9", "+workload.epochs=3"),
    ],
)
def test_the_quick_way_composes_what_hydra_composes(overrides: tuple[str, ...]) -> None:
    slow = OmegaConf.to_container(composed(*TINY, *overrides), resolve=True)
    composer = Composer(parse(TINY))
    for _ in range(2):  # the second time from what the first left behind
        assert composer(overrides) == slow


def test_runs_that_differ_in_values_alone_are_what_hydra_composes() -> None:
    """Also where values stand behind links: a cluster of one device many times, its network, a scenario's events."""
    composer = Composer(parse([*TINY, "cluster=nanos", "scenario=wifi_walk"]))
    for rate, idle_w, seed in (("20 Mbit/s", 1, 1), ("30 Mbit/s", 2, 5), ("20 Mbit/s", 1, 1)):
        words = (f"network.rate={rate}", f"devices.nano.power.idle_w={idle_w}", f"seed={seed}")
        slow = composed(*TINY, "cluster=nanos", "scenario=wifi_walk", *words)
        assert composer(words) == OmegaConf.to_container(slow, resolve=True)
    assert any(composer.variations.values())


def test_one_run_leaves_no_trace_in_the_next() -> None:
    composer = Composer(parse(TINY))
    before = composer(())
    composer(("network.rate=20 Mbit/s", "seed=5"))
    assert composer(()) == before


def test_a_key_forgets_where_results_go_and_what_only_execution_needs() -> None:
    base = key(config())
    assert key(config("results=/tmp/elsewhere", "sweep.batch=3", "launcher=here")) == base
    assert key(config("testbed=loopback", "iterations=9")) == base
    assert key(config("execute=true", "iterations=9")) != key(config("execute=true"))


@pytest.mark.parametrize(
    "word",
    [
        "network.rate=99 Mbit/s",
        "seed=1",
        "strategy=data",
        "depth=gpipe",
        "devices.slow.power.idle_w=1",
        "head_room=0.1",
        "grid=world_2023",
    ],
)
def test_a_key_knows_everything_else(word: str) -> None:
    assert key(config(word)) != key(config())


def test_a_key_knows_a_file_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    text = Path("results/profiles/netns_100mbit.network.json").read_text()
    one, same, other = (tmp_path / name for name in ("one.json", "same.json", "other.json"))
    one.write_text(text)
    same.write_text(text)
    other.write_text(text.replace("measured", "assumed"))
    keys = [key(config(f"network.calibrated={path}")) for path in (one, same, other)]
    assert keys[0] != keys[2]
    one.write_text(other.read_text())
    assert key(config(f"network.calibrated={one}")) != keys[0]


def test_a_key_knows_the_scenario_its_seed_and_the_content_of_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("time_s,factor\n0,1\n")
    of_file = ("scenario=trace", f"scenario.events.trace.path={path}")
    runs = [(), ("scenario=wifi_walk",), ("scenario=wifi_walk", "scenario.seed=1"), of_file]
    keys = [key(config(*words)) for words in runs]
    assert len(set(keys)) == len(runs)
    path.write_text("time_s,factor\n0,0.5\n")
    assert key(config(*of_file)) != keys[-1]


def test_a_configuration_is_flat_in_a_row_and_lists_stay_whole() -> None:
    row = dict(flat({"a": {"b": 1, "c": [1, {"d": 2}]}, "e": None}))
    assert row == {"config.a.b": "1", "config.a.c": json.dumps([1, {"d": 2}]), "config.e": None}
