"""Is every wrong input refused by one message that names it, with exit code 2 and nothing written?"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from experiments.configuration.command_line import run_command
from experiments.configuration.places import CONF
from experiments.run import run

Refused = Callable[..., str]
MOST_LINES = 3


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Calls ``run`` as the shell would, and returns its message if it is refused and nothing is written."""

    def call(*words: str) -> str:
        results = tmp_path / "results"
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["run", f"results={results}", "model=bert_tiny_bytes", *words])
        with pytest.raises(SystemExit) as ended:
            run_command(run, about=None)
        said = capfd.readouterr().err
        assert ended.value.code == 2, said
        assert "Traceback" not in said
        assert 1 <= said.count("\n") <= MOST_LINES, said
        assert not results.exists()
        return said

    return call


THROTTLED, JITTER, ILP = "scenario=throttled", "scenario=jitter", "planner=ilp_hybrid_pipeline"
WALK, ENERGY, LORA = "scenario=wifi_walk", "planner=ilp_energy", "finetuning=lora"

# What is typed, overrides parted by ``;``, and what the message must name.
WRONG_QUANTITIES = [
    ("network.rate=5 J", "network.rate: expected a rate of bytes or bits|'20 Mbit/s'|'5 J', which is an energy"),
    ("network.rate=20 MB", "network.rate|'20 MB', which is a number of bytes"),
    ("network.rate=20 Mbit", "network.rate|'20 Mbit', which is a number of bytes"),
    ("network.rate=20", "network.rate|20 without a unit"),
    ("network.rate=2e6", "network.rate|without a unit"),
    ("network.rate=-5 Mbit/s", "network.rate|above 0|'-5 Mbit/s'"),
    ("network.rate=0 Mbit/s", "network.rate|above 0|'0 Mbit/s'"),
    ("network.rate=nan", "network.rate|nan"),
    ("network.rate=inf", "network.rate|inf"),
    ("network.rate=inf GB/s", "network.rate|'inf GB/s'"),
    ("network.rate=20 Mbps", "network.rate|unknown unit 'Mbps'|bit"),
    ("network.rate=fast", "network.rate|'fast'"),
    ("network.rate=null", "network.rate|null"),
    ("network.rate=[20 Mbit/s]", "network.rate"),
    ("network.rate=true", "network.rate|True"),
    ("network.latency=5 J", "network.latency: expected a time|'5 ms'|'5 J', which is an energy"),
    ("network.latency=-1 ms", "network.latency|'-1 ms'"),
    ("network.latency=5 MB/s", "network.latency|which is a rate of bytes"),
    ("network.latency=soon", "network.latency|'soon'"),
    ("network.latency=inf", "network.latency|inf"),
    ("network.goodput=nan", "network.goodput|nan"),
    ("network.goodput=high", "network.goodput|'high'"),
    ("network.goodput=0", "goodput|0"),
    ("network.goodput=1.5", "goodput|1.5"),
    ("devices.fast.flop_per_s=40 GFLOP", "devices.fast.flop_per_s|'40 GFLOP/s'|'40 GFLOP', which is a number of FLOP"),
    ("devices.fast.flop_per_s=40 GB/s", "devices.fast.flop_per_s|which is a rate of bytes"),
    ("devices.fast.flop_per_s=0", "devices.fast.flop_per_s|above 0"),
    ("devices.fast.flop_per_s=-1", "devices.fast.flop_per_s|above 0|-1"),
    ("devices.fast.flop_per_s=nan", "devices.fast.flop_per_s|nan"),
    ("devices.fast.flop_per_s=inf", "devices.fast.flop_per_s|inf"),
    ("devices.fast.flop_per_s=null", "devices.fast.flop_per_s|null"),
    ("devices.fast.memory_bytes=2 GB/s", "devices.fast.memory_bytes|'2 GiB'|which is a rate"),
    ("devices.fast.memory_bytes=-2 GiB", "devices.fast.memory_bytes|'-2 GiB'"),
    ("devices.fast.memory_bytes=0", "demo-fast|memory_bytes|0"),
    ("devices.fast.memory_bytes=2 Gib", "devices.fast.memory_bytes|unknown unit 'Gib'"),
    ("devices.fast.memory_bytes=9 GiB", "demo-fast|memory_bytes|installed_bytes"),
    ("devices.fast.memory_bytes_per_s=12 GB", "devices.fast.memory_bytes_per_s|which is a number of bytes"),
    ("devices.fast.disk_bytes_per_s=0 B/s", "devices.fast.disk_bytes_per_s|above 0"),
    ("devices.fast.context_bytes=-1", "devices.fast.context_bytes|-1"),
    ("devices.fast.context_bytes=1 s", "devices.fast.context_bytes|which is a time"),
    ("devices.fast.power=null", "devices.fast.power|PowerModel|null|the watts of its datasheet"),
    ("~devices.fast.power", "devices.fast.power is missing|say power: ..."),
    ("~devices.fast.power.idle_w", "devices.fast.power.idle_w is missing|edgesim.PowerModel"),
    ("devices.fast.power=7 W", "devices.fast.power|PowerModel|'7 W'"),
    ("devices.fast.power.compute_w=null", "devices.fast.power.compute_w: expected a power|'10 W'|null|datasheet"),
    ("devices.fast.power.compute_w=nan", "devices.fast.power.compute_w|nan"),
    ("devices.fast.power.compute_w=.nan", "devices.fast.power.compute_w|'.nan'"),
    ("devices.fast.power.compute_w=7 J", "devices.fast.power.compute_w|'7 J', which is an energy"),
    ("devices.fast.power.compute_w=-7 W", "devices.fast.power.compute_w|'-7 W'"),
    ("devices.fast.power.compute_w=lots", "devices.fast.power.compute_w|'lots'"),
    ("devices.fast.power.compute_w=1", "power model|idle_w=1.66|compute_w=1"),
    ("devices.fast.power.idle_w=inf", "devices.fast.power.idle_w|inf"),
    ("+devices.fast.power.battery_j=5 W", "devices.fast.power.battery_j|which is a power"),
    ("+devices.fast.power.battery_j=0", "battery_j|0"),
    ("+devices.fast.power.transmit_j_per_byte=1 uJ", "devices.fast.power.transmit_j_per_byte|'1.9 uJ/B'"),
    ("+devices.fast.power.transmit_j_per_message=1 W", "transmit_j_per_message: expected an energy|'1 W'"),
    ("cluster.network.transmit_bytes_per_s=5 MB/s", "cluster.network.transmit_bytes_per_s|a list"),
    ("cluster.network.transmit_bytes_per_s=[5 J,1,1]", "cluster.network.transmit_bytes_per_s[0]|'5 J'"),
    ("cluster.network.transmit_bytes_per_s=[1,0,1]", "cluster.network.transmit_bytes_per_s[1]|0"),
    ("cluster.network.transmit_bytes_per_s=[1,1]", "3 devices|2 ranks"),
    ("cluster.network.latency_s=1 W", "cluster.network.latency_s|'1 W', which is a power"),
    (f"{THROTTLED};scenario.events.throttled.start_s=2 W", "scenario.events.throttled.start_s|'2 W'"),
    (f"{THROTTLED};scenario.events.throttled.start_s=-2", "scenario.events.throttled.start_s|-2"),
    (f"{THROTTLED};scenario.events.throttled.start_s=inf", "scenario.events.throttled.start_s|inf"),
    (f"{THROTTLED};scenario.events.throttled.end_s=nan", "scenario.events.throttled.end_s|nan"),
    (f"{THROTTLED};scenario.events.throttled.end_s=100 ms", "slow-down of rank 0|start_s"),
    (f"{THROTTLED};scenario.events.throttled.factor=0", "factor|0"),
    (f"{WALK};scenario.events.walk.interval_s=0", "scenario.events.walk.interval_s|above 0"),
    (f"{JITTER};scenario.events.jitter.variation=lots", "scenario.events.jitter.variation|'lots'"),
    (f"{JITTER};scenario.events.jitter.variation=-1", "variation|-1"),
    (f"{ILP};planner.time_limit_s=-1", "planner.time_limit_s|above 0|-1"),
    (f"{ILP};planner.time_limit_s=0", "planner.time_limit_s|above 0"),
    (f"{ILP};planner.time_limit_s=5 J", "planner.time_limit_s|'5 J'"),
    (f"{ILP};planner.time_limit_s=inf", "planner.time_limit_s|inf"),
    (f"{ILP};planner.time_limit_s=long", "planner.time_limit_s|'long'"),
    (f"{ENERGY};planner.latency_s=20 W", "planner.latency_s|'20 W'"),
    ("testbed.deadline_s=0", "testbed.deadline_s|above 0"),
    ("testbed.deadline_s=5 MB", "testbed.deadline_s|'5 MB'"),
    ("testbed.disturbed_above=0", "testbed: disturbed_above|0.05"),
    ("testbed.disturbed_above=5 %", "testbed.disturbed_above|'5 %'"),
    ("testbed.repeat_disturbed=-1", "testbed.repeat_disturbed|at least 0|-1"),
    ("testbed.repeat_disturbed=often", "testbed.repeat_disturbed|whole number|'often'"),
    ("grid=world_2023;grid.g_per_kwh=nan", "grid.g_per_kwh|nan"),
    ("grid=world_2023;grid.g_per_kwh=-3", "g_per_kwh|-3"),
    ("workload.learning_rate=nan", "workload.learning_rate|nan"),
    ("workload.learning_rate=-0.1", "learning_rate|-0.1"),
    ("head_room=nan", "head_room|nan"),
    ("head_room=1", "head_room|[0, 1)|1"),
    ("head_room=-0.5", "head_room|-0.5"),
]

WRONG_CHOICES = [
    ("workload.tokens=32.5", "workload.tokens: expected a whole number|32.5"),
    ("workload.tokens=many", "workload.tokens|'many'"),
    ("workload.tokens=0", "workload.tokens|at least 1|0"),
    ("workload.tokens=null", "workload.tokens|null"),
    ("workload.tokens=true", "workload.tokens|true"),
    ("workload.batch_samples=-8", "workload.batch_samples|-8"),
    ("workload.batch_samples=9", "batch_samples=9 is not a multiple of micro_batch_samples"),
    ("workload.micro_batch_samples=1.5", "workload.micro_batch_samples|1.5"),
    ("workload.optimiser=adm", "workload.optimiser|'adm'|did you mean 'adam'"),
    ("workload.purpose=training", "workload.purpose|'training'|did you mean 'train'"),
    ("+workload.epochs=0", "workload.epochs|at least 1"),
    ("+workload.epoch=3", "unknown key workload.epoch|did you mean 'epochs'"),
    ("+workload.cache=maybe", "workload.cache|true or false|'maybe'"),
    ("+workload.new_tokens=-1", "workload.new_tokens|-1"),
    ("workload.tokens=129", "learnt positions for 128 tokens|workload.tokens asks for 129|model.positions"),
    ("workload.token=3", "unknown override 'workload.token'|'workload.tokens'"),
    ("workload=txt", "unknown workload 'txt'|did you mean 'text'"),
    ("seed=abc", "seed: expected a whole number|'abc'"),
    ("seed=1.5", "seed|1.5"),
    ("seed=-1", "seed|-1"),
    ("iterations=0", "iterations|at least 1|0"),
    ("iterations=2.5", "iterations|2.5"),
    ("rehearsals=-1", "rehearsals|-1"),
    ("execute=maybe", "execute: expected true or false|'maybe'"),
    ("execute=1", "execute|true or false|1"),
    ("execute=null", "execute|null"),
    ("results=null", "results|null"),
    ("modes=3", "modes|3"),
    ("study=3", "study|3"),
    ("checkpoint=3", "checkpoint|a text|3"),
    ("head_room=half", "head_room|'half'"),
    ("sweep.batch=0", "sweep.batch|at least 1"),
    ("sweep.shrink=perhaps", "sweep.shrink|'perhaps'"),
    ("calibration.samples=4", "calibration.samples|a list of whole numbers|4"),
    ("calibration.samples=[0,1]", "calibration.samples[0]|at least 1"),
    ("calibration.samples=[1.5]", "calibration.samples[0]|1.5"),
    ("calibration.repeats=0", "calibration.repeats|at least 1"),
    ("fit.knots=two", "fit.knots|'two'"),
    ("launcher.workers=abc", "launcher.workers|'abc'"),
    ("data.kind=txt", "data.kind|text, digits|'txt'"),
    ("testbed.kind=nets", "testbed.kind|netns|'nets'"),
    ("testbed.cpu_quota=perhaps", "testbed.cpu_quota|true or false"),
    ("testbed.slow_motion=slow", "testbed.slow_motion|'slow'"),
    ("testbed.slow_motion=0.5", "testbed: slow_motion must be at least 1, got 0.5"),
    ("+bogus=3", "unknown key bogus"),
    ("+exceute=true", "unknown key exceute|did you mean 'execute'"),
    ("+network.ratee=5 Mbit/s", "unknown key network.ratee|did you mean 'rate'"),
    ("netwrk.rate=5 Mbit/s", "unknown override 'netwrk.rate'|'network.rate'"),
    ("network=null", "network"),
    ("network.calibrated=5", "network.calibrated|a text or null|5"),
    ("devices=3", "devices"),
    ("devices.fast=null", "devices.fast|Device|null"),
    ("devices.fats.memory_bytes=1 GiB", "unknown override 'devices.fats.memory_bytes'|'devices.fast.memory_bytes'"),
    ("+devices.fats.memory_bytes=1 GiB", "devices.fats|Device"),
    ("+devices.fast.memry_bytes=1 GiB", "unknown key devices.fast.memry_bytes|did you mean 'memory_bytes'"),
    ("device@devices.fast=demo_fats", "unknown device 'demo_fats'|did you mean 'demo_fast'"),
    ("devices.fast.origin=datashet", "devices.fast.origin|'datashet'|did you mean 'datasheet'"),
    ("devices.fast.name=null", "devices.fast.name|null"),
    ("cluster.network.origin=datashet", "cluster.network.origin|'datashet'|'datasheet'"),
    ("cluster.devices=3", "cluster.devices|a list|3"),
    ("cluster.devices=[]", "cluster demo|0 devices"),
    ("cluster.network=null", "cluster.network|Network|null"),
    ("cluster.name=[1]", "cluster.name|a text"),
    ("cluster=jetson_tx2", "unknown cluster 'jetson_tx2'|'jetson_tx2' is a device"),
    ("cluster=demmo", "unknown cluster 'demmo'|'demo'"),
    ("cluster=nanos;cluster.count=0", "cluster.count|at least 1"),
    ("cluster=nanos;cluster.count=2.5", "cluster.count|2.5"),
    ("model.layers=two", "model.layers|'two'"),
    ("model.layers=0", "model.layers|at least 1"),
    ("model.hidden=-64", "model.hidden|-64"),
    ("model.heads=1.5", "model.heads|1.5"),
    ("+model.tied=maybe", "model.tied|true or false|'maybe'"),
    ("+model.layer=3", "unknown key model.layer|did you mean 'layers'"),
    ("model.name=null", "model.name|a text|null"),
    ("model._target_=edgesim.zoo.bert.brt", "model._target_: edgesim.zoo.bert has no 'brt'|did you mean 'bert'"),
    ("model._target_=edgsim.zoo.bert.bert", "model._target_: cannot find 'edgsim.zoo.bert.bert'|MODULE.FUNCTION"),
    ("model._target_=edgesim.zoo.bert", "model._target_: 'edgesim.zoo.bert' is no function or class"),
    ("model._target_=3", "model._target_: expected a function or class|3"),
    ("strategy._partial_=maybe", "strategy._partial_: expected true or false|'maybe'"),
    ("+model._args_=[3]", "model._args_ cannot be set|_target_ and _partial_"),
    ("+model._convert_=all", "model._convert_ cannot be set"),
    ("+devices.fast._recursive_=false", "devices.fast._recursive_ cannot be set"),
    ("devices.fast.disk_bytes_per_s=[]", "devices.fast.disk_bytes_per_s: expected a number|[]"),
    ("model=bert_tinny", "unknown model 'bert_tinny'|bert_tiny_bytes"),
    ("model=resnet50;model.table=resnet5", "unknown layer table 'resnet5'|'resnet50'"),
    ("groups=datta", "groups|data, pipeline, halves|'datta'"),
    ("groups=[[0],[9]]", "groups|9"),
    ("groups=[[0],[0]]", "a rank holds two stages"),
    ("groups=[[0],[one]]", "groups[1][0]: expected a whole number|'one'"),
    ("groups=[[0],[-1]]", "groups[1][0]|at least 0|-1"),
    ("profile._target_=edgesim.Workload", "profile._target_ cannot be called with model, cluster, workload"),
    ("devices.fast._target_=builtins.dict", "devices.fast._target_: expected a Device, got builtins.dict"),
    ("grid=world_2023;grid._target_=builtins.dict", "grid._target_ gives a dict|Grid"),
    ("planner=none", "unknown planner 'none'"),
    ("cluster.devices=['${devices.fsat}']", "${devices.fsat} names nothing|did you mean 'devices.fast'"),
    ("depth=gpip", "depth|'gpip'|did you mean 'gpipe'"),
    ("strategy=ring", "unknown strategy 'ring'"),
    ("strategy=tensor;strategy.exchange=rng", "strategy.exchange|'rng'|did you mean 'ring'"),
    ("+strategy.overlapp=true", "unknown key strategy.overlapp"),
    ("planner=evn", "unknown planner 'evn'|'even'"),
    ("+planner.time_limit_s=5", "unknown key planner.time_limit_s"),
    (f"{ILP};planner.replicas=1.5", "planner.replicas|1.5"),
    (f"{ILP};planner.stages=0", "planner.stages|at least 1"),
    (f"{ILP};planner.depth=deep", "planner.depth|'deep'"),
    ("planner=exhaustive;+planner.leave_out=perhaps", "planner.leave_out|true or false|'perhaps'"),
    ("planner=exhaustive;+planner.leaveout=true", "unknown key planner.leaveout|did you mean 'leave_out'"),
    ("profile=measured", "profile.path has no value"),
    ("profile=measured;profile.path=5", "profile.path|a text|5"),
    ("profile=measured;profile.path=nowhere.json", "no such file: nowhere.json"),
    ("scenario.events=3", "scenario.events|a mapping|3"),
    ("+scenario.events.x=3", "scenario.events.x|3"),
    ("scenario.seed=1.5", "scenario.seed|1.5"),
    ("scenario.iteration=-1", "scenario.iteration|-1"),
    (f"{THROTTLED};scenario.events.throttled.rank=9", "rank 9"),
    (f"{THROTTLED};scenario.events.throttled.rank=1.5", "scenario.events.throttled.rank|1.5"),
    (f"{LORA};finetuning.rank=1.5", "finetuning.rank|1.5"),
    (f"{LORA};finetuning.rank=0", "finetuning.rank|at least 1|0"),
    ("finetuning=houlsby;finetuning.bottleneck=0", "finetuning.bottleneck|at least 1|0"),
    (f"{LORA};finetuning.dropout=perhaps", "finetuning.dropout|true or false"),
    ("finetuning=lorra", "unknown finetuning 'lorra'|'lora'"),
    ("groups=[[0", "cannot read the override 'groups=[[0'"),
    ("~devices.slow.efficiency.0", "cannot delete within a list: '~devices.slow.efficiency.0' (write the list anew"),
    ("device@devices.fast=null", "device@devices.fast: expected the name of a file, got null"),
    ("cluster=null", "cluster: expected the name of a file, got null"),
    ("strategy=3", "strategy: expected the name of a file, got 3|pipeline"),
    ("workload.tokens=${", "cannot read the override 'workload.tokens=${'"),
    ("workload.tokens=${a.}", "cannot read '${a.}' (write ${KEY})|workload.tokens"),
    ("workload.tokens=${nope:3}", "${nope:...} names nothing|${si:KEY}|workload.tokens"),
    ("workload.tokens=${workload.tokens}", "leads back to itself|workload.tokens"),
    ("workload.tokens=${si:}", "lacks what it is asked for"),
    (
        "seed=${oc.env:NOWHERE_AT_ALL}",
        "environment variable NOWHERE_AT_ALL is not set|${oc.env:NOWHERE_AT_ALL,DEFAULT}",
    ),
    ("model.layers=1000000000", "layers must be at most 10000, got 1000000000"),
    ("cluster=nanos;cluster.count=1000000000", "count must be from 1 to 10000, got 1000000000"),
    ("method=galxy", "unknown method 'galxy'|'galaxy'"),
    ("hello", "hello"),
]


@pytest.mark.parametrize(("words", "named"), WRONG_QUANTITIES, ids=[words for words, _ in WRONG_QUANTITIES])
def test_a_quantity_that_cannot_be_is_refused_with_its_key_and_an_example(
    refused: Refused, words: str, named: str
) -> None:
    said = refused(*words.split(";"))
    for each in named.split("|"):
        assert each in said


@pytest.mark.parametrize(("words", "named"), WRONG_CHOICES, ids=[words for words, _ in WRONG_CHOICES])
def test_a_choice_that_is_none_is_refused_with_its_key_and_the_nearest_name(
    refused: Refused, words: str, named: str
) -> None:
    said = refused(*words.split(";"))
    for each in named.split("|"):
        assert each in said


# --- files ---

CASES = {
    "empty": "{}",
    "list": "[1, 2]",
    "number": "3",
    "null": "null",
    "torn": '{"model": "bert-tiny-bytes",\n "points": [{"block": "he',
    "no text": "\x00\x01",
    "of Hugging Face": '{"architectures": ["BertModel"], "hidden_size": 768, "model_type": "bert"}',
    "of rows that are none": '{"model": "m", "origin": "measured", "source": "s", "points": [3], "stages": [3]}',
    "of other letters": "b\xe9",
    "of texts for numbers": '{"bytes_per_s": "fast", "latency_s": "soon", "topology": "switched", "origin": "x"}',
}
READERS = {
    "network": "network.calibrated={file}",
    "profile": "profile=measured;profile.path={file}",
    "layer table": "model={images};model.table={file};workload=images",
    "plan": "strategy=hybrid_pipeline;planner=ilp_replan;planner.old={file};planner.lost=[0]",
}


@pytest.mark.parametrize("content", CASES)
@pytest.mark.parametrize("kind", READERS)
def test_a_file_of_another_kind_is_refused_with_its_name(
    refused: Refused, tmp_path: Path, kind: str, content: str
) -> None:
    file = tmp_path / "given.json"
    file.write_text(CASES[content], encoding="latin-1")
    said = refused(*READERS[kind].format(file=file, images="resnet50_digits").split(";"))
    assert str(file) in said
    assert kind in said
    if content == "torn":
        assert "line 2" in said


def test_yaml_that_is_none_is_refused_with_file_and_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "mine.yaml").write_text("# @package _global_\ncluster:\n  name: [a, b\n  devices: 3\n")
    said = refused(f"hydra.searchpath=[file://{tmp_path}]", "cluster=mine")
    assert "mine.yaml" in said
    assert "line 4" in said or "line 3" in said


def test_yaml_that_holds_itself_is_refused_with_its_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload" / "mine.yaml").write_text("_target_: edgesim.Workload\na: &x [*x]\n")
    assert "mine holds itself" in refused(f"hydra.searchpath=[file://{tmp_path}]", "workload=mine")


def test_a_configuration_of_too_many_layers_is_refused_at_once(refused: Refused, tmp_path: Path) -> None:
    fields = {"model_type": "llama", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 10**6}
    fields |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 9}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(fields))
    assert "num_hidden_layers must be at most 10000, got 1000000" in refused("model=hugging_face", f"model.from={file}")
    file.write_text(json.dumps(fields | {"num_hidden_layers": 2, "vocab_size": 10**400}))
    assert f"{file}: vocab_size must be at most 1000000000" in refused("model=hugging_face", f"model.from={file}")


def test_a_device_key_that_is_mistyped_in_a_users_cluster_is_named(refused: Refused, tmp_path: Path) -> None:
    text = (CONF / "cluster" / "demo.yaml").read_text()
    (tmp_path / "cluster").mkdir()
    for number, (right, wrong, named) in enumerate(
        [
            ("devices.fast}", "devices.fsat}", "${devices.fsat} names nothing"),
            ("demo_fast", "demo_fats", "unknown device 'demo_fats'"),
            ("transmit_bytes_per_s", "transmit_byte_per_s", "unknown key cluster.network.transmit_byte_per_s"),
        ]
    ):
        assert right in text
        (tmp_path / "cluster" / f"mine{number}.yaml").write_text(text.replace(right, wrong))
        assert named in refused(f"hydra.searchpath=[file://{tmp_path}]", f"cluster=mine{number}")
    own = tmp_path / "cluster" / "keys.yaml"
    own.write_text(f"{text}\ndevices:\n  fast:\n    memry_bytes: 1 GiB\n")
    said = refused(f"hydra.searchpath=[file://{tmp_path}]", "cluster=keys")
    assert "unknown key devices.fast.memry_bytes (did you mean 'memory_bytes'" in said


def test_a_workload_that_does_not_fit_its_model_is_refused(refused: Refused) -> None:
    assert "bert-tiny-bytes reads text" in refused("workload=images")
    assert "reads images" in refused("model=resnet50_digits", "workload=text")
    assert "vit-base reads images" in refused("model=vit_base", "workload=text")


@pytest.mark.parametrize("folder", ["/dev/null/results", "/proc/results"])
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_planned(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr("experiments.run.prepare", pytest.fail)
    assert f"{folder} cannot be written to" in refused(f"results={folder}")


def test_a_mistake_in_a_users_own_planner_is_told_with_its_line_and_none_of_ours(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careless.py").write_text("def plan(problem):\n    return problem.modle\n")
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "mine.yaml").write_text("_target_: careless.plan\n_partial_: true\n")
    monkeypatch.syspath_prepend(tmp_path)
    said = refused(f"hydra.searchpath=[file://{tmp_path}]", "planner=mine")
    assert "AttributeError: 'Problem' object has no attribute 'modle'" in said
    assert "careless.py:2, in plan: return problem.modle" in said
    assert "experiments/" not in said


@pytest.mark.parametrize("code", ["return int('two')", "return open('/no/such')", "return 3", "raise SystemError('x')"])
def test_whatever_a_users_planner_does_is_told_in_words(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    name = f"careless_{len(code)}"
    (tmp_path / f"{name}.py").write_text(f"def plan(problem):\n    {code}\n")
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "mine.yaml").write_text(f"_target_: {name}.plan\n_partial_: true\n")
    monkeypatch.syspath_prepend(tmp_path)
    said = refused(f"hydra.searchpath=[file://{tmp_path}]", "planner=mine")
    assert f"{name}.py:2, in plan: {code}" in said or "a planner must give a Plan, got a int" in said
